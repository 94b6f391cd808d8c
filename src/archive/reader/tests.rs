//! Tars as they are, as others write them, and as nobody should.

use std::io::Cursor;

use proptest::prelude::*;

use tar::Header;

use super::*;

fn header(kind: EntryType, path: &str, size_bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(path).unwrap();
    header.set_size(size_bytes);
    header.set_cksum();
    header
}

/// An entry with its content and padding.
fn entry(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    entry(&header(EntryType::Regular, path, content.len() as u64), content)
}

fn pax(records: &[u8]) -> Vec<u8> {
    entry(&header(EntryType::XHeader, "pax", records.len() as u64), records)
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while format!("{length}{rest}").len() != length {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

fn read(tar: &[u8]) -> (Vec<Member>, Option<ReadError>) {
    let mut found = Vec::new();
    let mut members = Members::new(Cursor::new(tar)).unwrap();
    for member in &mut members {
        match member {
            Ok(member) => found.push(member),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

fn error_of(tar: &[u8]) -> ReadError {
    read(tar).1.unwrap()
}

#[test]
fn what_the_tar_crate_writes_is_read() {
    let long = "d/".repeat(200) + "name";
    let mut builder = tar::Builder::new(Vec::new());
    let mut put = |path: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).unwrap();
    };
    put("one", b"abc");
    put(&long, &[7; 600]);
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "link", &long).unwrap();
    let tar = builder.into_inner().unwrap();
    let (members, error) = read(&tar);
    assert!(error.is_none(), "{error:?}");
    let [one, two, link] = &members[..] else { panic!("{members:?}") };
    assert_eq!((one.path.as_str(), &one.kind, one.size_bytes), ("one", &MemberKind::File, 3));
    let content = |member: &Member| {
        let start = usize::try_from(member.offset_bytes).unwrap();
        &tar[start..start + usize::try_from(member.size_bytes).unwrap()]
    };
    assert_eq!(content(one), b"abc");
    assert_eq!((two.path.as_str(), content(two)), (long.as_str(), &[7; 600][..]));
    assert_eq!(link.kind, MemberKind::Symlink(long));
}

#[test]
fn pax_headers_count_for_the_next_entry_and_global_ones_for_none() {
    let records = [record("path", "päx"), record("size", "700"), record("SCHILY.xattr.x", "a\nb=c")].concat();
    let global = entry(&header(EntryType::XGlobalHeader, "g", 20), b"20 path=everything\n\n");
    let tar = [
        global,
        pax(&records),
        entry(&header(EntryType::Regular, "x", 0), &[1; 700]),
        file("next", b"n"),
        vec![0; 1024],
    ]
    .concat();
    let (members, error) = read(&tar);
    assert!(error.is_none(), "{error:?}");
    let names: Vec<_> = members.iter().map(|member| (member.path.as_str(), member.size_bytes)).collect();
    assert_eq!(names, [("päx", 700), ("next", 1)]);
}

#[test]
fn links_and_directories_have_no_content_whatever_their_size_says() {
    let mut link = header(EntryType::Link, "link", 1 << 30);
    link.set_link_name("target").unwrap();
    link.set_cksum();
    let tar =
        [entry(&link, b""), entry(&header(EntryType::Directory, "d", 512), b""), file("f", b"x")].concat();
    let (members, error) = read(&tar);
    assert!(error.is_none(), "{error:?}");
    let kinds: Vec<_> = members.into_iter().map(|member| (member.kind, member.size_bytes)).collect();
    assert_eq!(
        kinds,
        [(MemberKind::HardLink("target".into()), 0), (MemberKind::Directory, 0), (MemberKind::File, 1)]
    );
}

#[test]
fn sparse_files_are_passed_over_and_told() {
    let mut sparse = header(EntryType::GNUSparse, "old", 5);
    sparse.as_gnu_mut().unwrap().set_is_extended(true);
    sparse.set_cksum();
    let more = |is_extended: u8| {
        let mut block = [0; BLOCK];
        block[header::SPARSE_IS_EXTENDED[1]] = is_extended;
        block.to_vec()
    };
    let tar = [
        sparse.as_bytes().to_vec(),
        more(2),
        more(0),
        [b"holes".to_vec(), vec![0; BLOCK - 5]].concat(),
        pax(&record("GNU.sparse.major", "1")),
        file("new", b"map"),
        file("after", b"x"),
    ]
    .concat();
    let (members, error) = read(&tar);
    assert!(error.is_none(), "{error:?}");
    let kinds: Vec<_> = members.iter().map(|member| (member.path.as_str(), &member.kind)).collect();
    assert_eq!(
        kinds,
        [("old", &MemberKind::Ambiguous), ("new", &MemberKind::Ambiguous), ("after", &MemberKind::File)]
    );
}

/// Go's `archive/tar` finds these names and sizes; a second `manifest.json` hid behind each difference.
#[test]
fn names_and_sizes_are_those_that_go_finds() {
    let gnu = |kind, name: &[u8]| entry(&header(kind, "././@LongLink", name.len() as u64), name);
    let (long_name, long_link) = (EntryType::GNULongName, EntryType::GNULongLink);
    let global = || entry(&header(EntryType::XGlobalHeader, "g", 12), b"12 comment=\n");
    let plain = || file("plain", b"x");
    let with_numbers = |size: &[u8; 12], mode: &[u8; 8]| {
        let mut header = header(EntryType::Regular, "plain", 0);
        let fields = header.as_gnu_mut().unwrap();
        (fields.size, fields.mode) = (*size, *mode);
        header.set_cksum();
        entry(&header, b"x")
    };
    let prefixed = |magic: &[u8; 8], prefix: &[u8], trailer: &[u8]| {
        let mut header = header(EntryType::Regular, "plain", 1);
        header.as_mut_bytes()[257..265].copy_from_slice(magic);
        header.as_mut_bytes()[345..345 + prefix.len()].copy_from_slice(prefix);
        header.as_mut_bytes()[508..508 + trailer.len()].copy_from_slice(trailer);
        header.set_cksum();
        entry(&header, b"x")
    };
    let long_prefix = [b'p'; 155];
    for (name, tar) in [
        // What is empty says nothing.
        ("plain", [pax(&record("path", "")), plain()].concat()),
        ("plain", [pax(&record("size", "")), plain()].concat()),
        ("plain", [pax(&[record("path", "pax"), record("path", "")].concat()), plain()].concat()),
        ("plain", [gnu(long_name, b"\0"), plain()].concat()),
        ("plain", [gnu(long_name, b"gnu\0"), gnu(long_name, b"\0"), plain()].concat()),
        ("pax", [gnu(long_name, b"\0"), pax(&record("path", "pax")), plain()].concat()),
        // GNU's names go before pax's.
        ("gnu", [gnu(long_name, b"gnu\0"), pax(&record("path", "pax")), plain()].concat()),
        ("gnu", [pax(&record("path", "pax")), gnu(long_name, b"gnu\0more"), plain()].concat()),
        // Each pax header begins anew, and a global one ends what was said.
        ("plain", [pax(&record("path", "pax")), pax(&record("comment", "c")), plain()].concat()),
        ("plain", [pax(&record("path", "pax")), global(), plain()].concat()),
        ("plain", [gnu(long_name, b"gnu\0"), global(), plain()].concat()),
        ("plain", [gnu(long_link, b"link\0"), global(), plain()].concat()),
        // Numbers stand between zeros and spaces.
        ("plain", with_numbers(b"\x00\x000000000001", b"\0 644 \0\0")),
        ("plain", with_numbers(b" \0 1\x007777 \0 ", b"\xff\xff\xff\xff\xff\xff\xff\xff")),
        // A prefix counts whatever the version; GNU has times there, if they are any.
        ("d/plain", prefixed(b"ustar\x0000", b"d", b"")),
        ("d/plain", prefixed(b"ustar\0xx", b"d", b"")),
        ("plain", prefixed(b"ustar  \0", b"0", b"")),
        ("d/plain", prefixed(b"ustar  \0", b"d", b"")),
        ("plain", prefixed(b"ustar  \0", b"\xc3\xa4", b"")),
        ("plain", prefixed(b"any\0\0\0\0\0", b"d", b"")),
        (
            &(str::from_utf8(&long_prefix).unwrap().to_owned() + "/plain"),
            prefixed(b"ustar\x0000", &long_prefix, b""),
        ),
        (
            &(str::from_utf8(&long_prefix[..131]).unwrap().to_owned() + "/plain"),
            prefixed(b"ustar\x0000", &long_prefix[..131], b"tar\0"),
        ),
    ] {
        let (members, error) = read(&[tar, file("after", b"y")].concat());
        assert!(error.is_none(), "{name}: {error:?}");
        let found: Vec<_> = members.iter().map(|it| (it.path.as_str(), &it.kind, it.size_bytes)).collect();
        assert_eq!(found, [(name, &MemberKind::File, 1), ("after", &MemberKind::File, 1)]);
    }
    for broken in [
        with_numbers(b"00000000001\0", b"0000rw-\0"),
        with_numbers(b"00000000001\0", b"7 \x007777\0"),
        entry(&header(EntryType::XGlobalHeader, "g", 5), b"99 x\n"),
        pax(&record("path", "manifest.json\0")),
        pax(&record("uid", "root")),
        pax(&record("mtime", "1.5x")),
        pax(&record("a\0b", "")),
    ] {
        let error = error_of(&[plain(), broken, plain()].concat());
        assert!(
            matches!(error, ReadError::BadHeader { at_bytes: 1024 } | ReadError::BadPax { at_bytes: 1024 }),
            "{error:?}"
        );
    }
    let times = [record("mtime", "-1.25"), record("atime", "7."), record("ctime", ""), record("gid", "7")];
    assert!(read(&[pax(&times.concat()), plain()].concat()).1.is_none());
}

#[test]
fn kinds_are_those_that_go_finds() {
    let of_kind = |kind: u8, path: &str, content: &[u8]| {
        entry(&header(EntryType::new(kind), path, content.len() as u64), content)
    };
    let mut slashed = header(EntryType::new(0), "x", 512);
    slashed.as_mut_bytes()[..7].copy_from_slice(b"folder/");
    slashed.as_mut_bytes()[156] = 0;
    slashed.set_cksum();
    let tar = [
        of_kind(b'0', "manifest.json/", b"file"),
        // Its size is none, as it is a directory: what stands behind it is the next header.
        slashed.as_bytes().to_vec(),
        of_kind(b'7', "continuous", b"x"),
        of_kind(b'Z', "unknown", b"x"),
        of_kind(b'3', "device", b""),
        [pax(&[record("GNU.sparse.major", "1"), record("GNU.sparse.name", "manifest.json")].concat())]
            .concat(),
        file("GNUSparseFile.0/x", b"map"),
    ]
    .concat();
    let (members, error) = read(&tar);
    assert!(error.is_none(), "{error:?}");
    let kinds: Vec<_> = members.into_iter().map(|member| (member.path, member.kind)).collect();
    let expected = [
        ("manifest.json/", MemberKind::File),
        ("folder/", MemberKind::Directory),
        ("continuous", MemberKind::Ambiguous),
        ("unknown", MemberKind::Ambiguous),
        ("device", MemberKind::Device),
        ("manifest.json", MemberKind::Ambiguous),
    ];
    assert_eq!(kinds, expected.map(|(path, kind)| (path.to_owned(), kind)));
    // Only GNU's dialect has sparse files of the old kind.
    let mut sparse = header(EntryType::GNUSparse, "x", 0);
    sparse.as_mut_bytes()[257..265].copy_from_slice(b"ustar\x0000");
    sparse.set_cksum();
    assert!(matches!(error_of(&[file("a", b""), entry(&sparse, b"")].concat()), ReadError::BadHeader { .. }));
}

#[test]
fn sizes_that_lie_end_the_reading() {
    let sized = |field: &[u8; 12]| {
        let mut header = header(EntryType::Regular, "x", 0);
        header.as_gnu_mut().unwrap().size = *field;
        header.set_cksum();
        error_of(&[file("before", b"1"), entry(&header, b"short")].concat())
    };
    let base_256 = |value: i128| {
        let mut field = [0; 12];
        field.copy_from_slice(&value.to_be_bytes()[4..]);
        field[0] |= 0x80;
        field
    };
    assert!(matches!(sized(&base_256(-1)), ReadError::BadSize { at_bytes: 1024 }));
    assert!(matches!(sized(&base_256(1 << 63)), ReadError::BadSize { .. }));
    assert!(matches!(sized(&base_256(1 << 70)), ReadError::BadSize { .. }));
    assert!(matches!(sized(b"0000000009\0\0"), ReadError::BadSize { .. }));
    assert!(matches!(sized(b"+0000000001\0"), ReadError::BadSize { .. }));
    let end_of = |field: [u8; 12]| match sized(&field) {
        ReadError::Truncated { at_bytes: 1024, end_bytes, .. } => end_bytes,
        error => panic!("{error:?}"),
    };
    assert_eq!(end_of(base_256(i128::from(i64::MAX))), 1536 + i64::MAX.cast_unsigned());
    assert_eq!(end_of(*b"777777777777"), 1536 + (1 << 36) - 1);
    for size in ["-1", "18446744073709551616", "9223372036854775808", "1e3"] {
        let tar = [pax(&record("size", size)), file("x", b"x")].concat();
        assert!(matches!(error_of(&tar), ReadError::BadPax { at_bytes: 0 }), "{size}");
    }
}

#[test]
fn what_is_no_tar_is_told_from_what_breaks_off() {
    assert!(matches!(error_of(b""), ReadError::NotATar));
    assert!(matches!(error_of(b"short"), ReadError::NotATar));
    assert!(matches!(error_of(&[b'x'; 4096]), ReadError::NotATar));
    let tar = [file("a", &[1; 700]), file("b", b"x"), vec![0; 1024]].concat();
    assert!(matches!(error_of(&tar[..1000]), ReadError::Truncated { at_bytes: 0, .. }));
    assert!(matches!(error_of(&tar[..1600]), ReadError::Truncated { at_bytes: 1536, .. }));
    let mut broken = tar;
    broken[1536] ^= 1;
    assert!(matches!(error_of(&broken), ReadError::BadHeader { at_bytes: 1536 }));
}

#[test]
fn two_blocks_of_zeros_or_one_before_nothing_are_the_end() {
    let with_end = |zeros: usize, tail: &[u8]| {
        let tar = [file("a", b"x"), vec![0; zeros], tail.to_vec()].concat();
        let mut members = Members::streaming(&tar[..]);
        let error = members.by_ref().find_map(Result::err);
        (error, members.has_end())
    };
    for (zeros, tail) in [(512, &b""[..]), (1024, b""), (1024, b"tail"), (10240, &file("b", b""))] {
        let (error, has_end) = with_end(zeros, tail);
        assert!(error.is_none() && has_end, "{zeros}: {error:?}");
    }
    let hidden = with_end(512, &file("b", b""));
    assert!(matches!(hidden, (Some(ReadError::BadHeader { at_bytes: 1536 }), false)), "{hidden:?}");
    let cut = with_end(700, b"");
    assert!(
        matches!(cut, (Some(ReadError::Truncated { at_bytes: 1536, size_bytes: 1724, .. }), false)),
        "{cut:?}"
    );
}

#[test]
fn names_entries_and_headers_are_bounded() {
    let long = |kind, size_bytes| {
        let content = vec![b'n'; usize::try_from(size_bytes).unwrap()];
        error_of(&[entry(&header(kind, "x", size_bytes), &content), file("x", b"")].concat())
    };
    assert!(matches!(
        long(EntryType::GNULongName, 5000),
        ReadError::TooLong { at_bytes: 0, size_bytes: 5000 }
    ));
    assert!(matches!(long(EntryType::GNULongLink, 1 << 20), ReadError::TooLong { .. }));
    assert!(matches!(long(EntryType::XHeader, (1 << 20) + 1), ReadError::TooLong { .. }));
    for records in [
        &b"x"[..],
        b"3 a",
        b"999999 a=b\n",
        b"5 a=b",
        b"0 a=b\n",
        b"99999999999999999999999 a=b\n",
        b"6 =b\n\n",
    ] {
        assert!(matches!(error_of(&pax(records)), ReadError::BadPax { .. }), "{records:?}");
    }
    let many = file("x", b"").repeat(MAX_ENTRIES + 1);
    let (members, error) = read(&many);
    assert_eq!(members.len(), MAX_ENTRIES);
    assert!(matches!(error, Some(ReadError::TooMany)));
    // Long headers for one entry, each allowed by itself.
    let endless = pax(&record("a", &"b".repeat(1_000_000))).repeat(70);
    assert!(matches!(error_of(&endless), ReadError::TooMany));
}

proptest! {
    #[test]
    fn no_bytes_lead_beyond_the_file(tar in hostile_tar()) {
        let (members, _) = read(&tar);
        for member in members {
            let end = member.offset_bytes.checked_add(member.size_bytes);
            prop_assert!(end.is_some_and(|end| end <= tar.len() as u64), "{:?} of {}", member, tar.len());
        }
    }
}

/// Headers of any kind, with sizes that are true or not, between any bytes; cut anywhere.
fn hostile_tar() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(b"\x000123457LKxgSVX".to_vec());
    let size = prop_oneof![
        any::<[u8; 12]>(),
        (0u64..3000).prop_map(|size| {
            let mut field = [0; 12];
            field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
            field
        })
    ];
    let entry = (kind, size, prop::collection::vec(any::<u8>(), 0..1500), any::<bool>()).prop_map(
        |(kind, size, content, is_checked)| {
            let mut header = header(EntryType::new(kind), "blobs/sha256/x", 0);
            header.as_gnu_mut().unwrap().size = size;
            if is_checked {
                header.set_cksum();
            }
            entry(&header, &content)
        },
    );
    (prop::collection::vec(entry, 0..6), any::<prop::sample::Index>()).prop_map(|(entries, cut)| {
        let mut tar = entries.concat();
        tar.truncate(cut.index(tar.len() + 1));
        tar
    })
}
