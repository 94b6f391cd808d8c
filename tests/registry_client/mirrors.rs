//! Mirrors: who is asked for what, in which order, with which credentials, and what becomes of those that fail or lie.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealift::config::{MirrorOrder, OriginUse, Registries, RegistryName, RegistrySettings, TagAuthority};
use sealift::event::{Event, Reporter, SharedReporter};
use sealift::registry::{Credential, Credentials, Kind, Mirrored, Retry};
use sealift::secret::Secret;

use crate::scripted::{Reply, Request, Scripted};
use crate::*;

/// Keeps the texts of warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Reporter for Warnings {
    fn report(&self, event: Event<'_>) {
        if let Event::Warning(warning) = event {
            self.0.lock().unwrap().push(warning.to_string());
        }
    }
}

struct Bench {
    source: Mirrored,
    warnings: Arc<Warnings>,
    repository: Repository,
}

impl Bench {
    /// The registry at `origin`, with mirrors.
    fn new(origin: SocketAddr, mirrors: &[String], change: impl FnOnce(&mut RegistrySettings)) -> Self {
        Self::with(Credentials::default(), origin, mirrors, change)
    }

    fn with(
        credentials: Credentials,
        origin: SocketAddr,
        mirrors: &[String],
        change: impl FnOnce(&mut RegistrySettings),
    ) -> Self {
        let mirrors = mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect();
        let mut settings = RegistrySettings { mirrors, ..RegistrySettings::default() };
        change(&mut settings);
        let registries = Registries::from([(RegistryName(registry(origin)), settings)]);
        let warnings = Arc::<Warnings>::default();
        let reporter = SharedReporter::new(Arc::clone(&warnings) as Arc<dyn Reporter>);
        let client = Client::new(ClientOptions { credentials, ..ClientOptions::default() }).unwrap();
        let source = Mirrored::new(client, &registries, &reporter).unwrap();
        Self { source, warnings, repository: repository(origin) }
    }

    async fn tag(&self) -> Result<Document, RegistryError> {
        fetch_tag(&self.source, &self.repository).await
    }

    async fn blob(&self) -> Result<Vec<u8>, RegistryError> {
        fetch_blob(&self.source, &self.repository, 0).await
    }

    /// Reads the blob as fill does: a body that breaks off is opened again where it stopped.
    async fn blob_in_parts(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..10 {
            let from_bytes = bytes.len() as u64;
            let blob = blob_of(BLOB);
            let opened = self.source.open_blob(&self.repository, &blob, from_bytes..blob.size_bytes).await;
            let mut stream = opened.unwrap();
            while let Ok(Some(chunk)) = stream.try_next().await {
                bytes.extend_from_slice(&chunk);
            }
            if bytes.len() >= BLOB.len() {
                return bytes;
            }
        }
        panic!("it came never to its end: {bytes:?}");
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.0.lock().unwrap().clone()
    }
}

/// What a sound registry answers.
fn sound(request: &Request) -> Reply {
    match (request.target.contains("/blobs/"), request.header("range")) {
        (true, Some(range)) => {
            let from: usize =
                range.strip_prefix("bytes=").unwrap().split('-').next().unwrap().parse().unwrap();
            Reply::new(206, &BLOB[from..]).with("Content-Range", format!("bytes {from}-19/20"))
        }
        (true, None) => Reply::ok(BLOB),
        (false, _) => {
            Reply::ok(MANIFEST).with("Docker-Content-Digest", Digest::of(MANIFEST.as_bytes()).to_string())
        }
    }
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn targets(server: &Scripted) -> Vec<String> {
    server.requests().into_iter().map(|request| format!("{} {}", request.method, request.target)).collect()
}

#[tokio::test]
async fn a_mirror_is_asked_under_its_prefix_and_the_registry_is_not() {
    for (suffix, scheme, api) in [
        ("", "", "/v2/org/app"),
        ("/hub", "", "/v2/hub/org/app"),
        ("/v2/hub", "http://", "/v2/hub/org/app"),
        ("/repository/Hub", "http://", "/repository/Hub/v2/org/app"),
    ] {
        let (mirror, origin) = (Scripted::plain(sound).await, Scripted::plain(sound).await);
        let address = format!("{scheme}{}{suffix}", mirror.address);
        let bench = Bench::new(origin.address, std::slice::from_ref(&address), |_| ());
        assert_eq!(bench.tag().await.unwrap().bytes(), MANIFEST);
        assert_eq!(bench.blob().await.unwrap(), BLOB);
        let digest = Digest::of(BLOB);
        let expected = [format!("GET {api}/manifests/1"), format!("GET {api}/blobs/{digest}")];
        assert_eq!(targets(&mirror), expected, "{address}");
        assert!(origin.requests().is_empty() && bench.warnings().is_empty());
        assert_eq!(bench.source.sent_bytes(), [(address.as_str(), 20)]);
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_mirror_the_next_place_is_asked() {
    for (status, is_told) in [(404, false), (401, true), (403, true), (429, true), (500, true), (418, true)] {
        let mirror = Scripted::plain(move |_| Reply::new(status, "")).await;
        let origin = Scripted::plain(sound).await;
        let bench = Bench::new(origin.address, &[mirror.address.to_string()], |_| ());
        bench.tag().await.unwrap();
        assert_eq!(bench.blob().await.unwrap(), BLOB);
        assert_eq!(bench.blob().await.unwrap(), BLOB);
        assert_eq!(mirror.requests().len(), 1, "{status}: it stands behind the other after that");
        let warnings = bench.warnings();
        assert_eq!(warnings.len(), usize::from(is_told), "{warnings:?}");
        let name = format!("the mirror {} of {}", mirror.address, origin.address);
        assert!(warnings.iter().all(|warning| warning.starts_with(&name)), "{warnings:?}");
    }
    // Nobody there, no name, no registry.
    let origin = Scripted::plain(sound).await;
    let page = Scripted::plain(|_| Reply::ok("<html>hello</html>").with("Content-Type", "text/html")).await;
    let mirrors = [free_address().to_string(), "mirror.invalid".to_owned(), page.address.to_string()];
    let bench = Bench::new(origin.address, &mirrors, |_| ());
    bench.tag().await.unwrap();
    assert_eq!(bench.warnings().len(), 3, "{:?}", bench.warnings());
    assert_eq!(bench.blob().await.unwrap(), BLOB);
    assert_eq!(page.requests().len(), 1);
}

#[tokio::test]
async fn a_place_that_said_when_to_come_again_is_left_alone_until_then() {
    for status in [429, 503] {
        let mirror = Scripted::plain(move |_| Reply::new(status, "").with("Retry-After", "3600")).await;
        let origin = Scripted::plain(|request| {
            if request.target.contains("/blobs/") { Reply::new(500, "") } else { sound(request) }
        })
        .await;
        let bench = Bench::new(origin.address, &[mirror.address.to_string()], |_| ());
        bench.tag().await.unwrap();
        for _ in 0..2 {
            let error = bench.blob().await.unwrap_err();
            assert!(everything(&error).contains(&mirror.address.to_string()), "{error:?}");
            assert_eq!(error.retry(), Retry::Soon, "the registry may be asked again");
        }
        assert_eq!((mirror.requests().len(), origin.requests().len()), (1, 3), "{status}");

        // With nobody else its time is what is waited for, by all who would ask.
        let bench =
            Bench::new(origin.address, &[mirror.address.to_string()], |set| set.origin = OriginUse::Never);
        bench.tag().await.unwrap_err();
        let error = bench.blob().await.unwrap_err();
        let Retry::After(wait) = error.retry() else { panic!("{error:?}") };
        assert!(wait > Duration::from_mins(59) && wait <= Duration::from_hours(1), "{wait:?}");
        assert_eq!((mirror.requests().len(), error.kind()), (2, Kind::Network));
    }
}

#[tokio::test]
async fn a_place_that_refused_our_credentials_is_asked_nothing_more() {
    let mirror = Scripted::plain(|_| Reply::challenge("Basic realm=x")).await;
    let origin = Scripted::plain(|request| {
        if request.target.contains("/blobs/") { Reply::new(500, "") } else { sound(request) }
    })
    .await;
    let wrong = || {
        let wrong = Credential::Password { username: "me".to_owned(), password: Secret::new("wrong") };
        Credentials::default().with(registry(mirror.address), wrong)
    };
    let mirrors = [mirror.address.to_string()];
    let bench = Bench::with(wrong(), origin.address, &mirrors, |_| ());
    bench.tag().await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.blob().await.unwrap_err().retry(), Retry::Soon, "the registry may come back");
    }
    let with_password = || mirror.requests().iter().filter(|asked| asked.authorization().is_some()).count();
    assert_eq!(with_password(), 1, "a second try may lock the account");

    let bench = Bench::with(wrong(), origin.address, &mirrors, |set| set.origin = OriginUse::Never);
    bench.tag().await.unwrap_err();
    let error = bench.blob().await.unwrap_err();
    assert_eq!((error.kind(), error.retry(), with_password()), (Kind::Access, Retry::Never, 2), "{error:?}");
    assert!(everything(&error).contains("the credentials were refused"), "{error:?}");
}

#[tokio::test]
async fn a_blob_that_breaks_off_goes_on_from_another_place() {
    // Each mirror gives a few bytes and hangs up.
    let short = |bytes: usize| {
        Scripted::plain(move |request| match request.header("range") {
            Some("bytes=5-19") => {
                Reply::new(206, &BLOB[5..5 + bytes]).with("Content-Range", "bytes 5-19/20").stating(15)
            }
            None => Reply::ok(&BLOB[..bytes]).stating(20),
            other => panic!("{other:?}"),
        })
    };
    let (one, two, origin) = (short(5).await, short(4).await, Scripted::plain(sound).await);
    let mirrors = [one.address.to_string(), two.address.to_string()];
    let bench = Bench::new(origin.address, &mirrors, |_| ());
    assert_eq!(bench.blob_in_parts().await, BLOB);
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
    assert_eq!(origin.requests().last().unwrap().header("range"), Some("bytes=9-19"));
    let sent: Vec<u64> = bench.source.sent_bytes().into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(sent, [11, 5, 4]);
}

#[tokio::test]
async fn a_body_that_was_too_slow_for_its_reader_comes_from_another_place() {
    let mirror = Scripted::plain(|_| Reply::ok(&BLOB[..2]).trickling()).await;
    let origin = Scripted::plain(sound).await;
    let bench = Bench::new(origin.address, &[mirror.address.to_string()], |_| ());
    let mut stream =
        bench.source.open_blob(&bench.repository, &blob_of(BLOB), 0..BLOB.len() as u64).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    drop(stream);
    assert_eq!(bench.blob().await.unwrap(), BLOB);
    assert_eq!((mirror.requests().len(), origin.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_range_that_one_place_ignores_is_had_from_another_or_told() {
    let ignoring = || Scripted::plain(|_| Reply::ok(BLOB));
    let (mirror, origin) = (ignoring().await, Scripted::plain(sound).await);
    let bench = Bench::new(origin.address, &[mirror.address.to_string()], |_| ());
    assert_eq!(fetch_blob(&bench.source, &bench.repository, 7).await.unwrap(), &BLOB[7..]);
    let bench = Bench::new(free_address(), &[mirror.address.to_string()], |_| ());
    let error = fetch_blob(&bench.source, &bench.repository, 7).await.unwrap_err();
    assert!(matches!(error, RegistryError::RangeIgnored { .. }), "{error:?}");
}

#[tokio::test]
async fn a_mirror_that_lies_is_dropped_and_named() {
    let lying = || {
        Scripted::plain(|request| {
            let is_blob = request.target.contains("/blobs/");
            if is_blob { Reply::ok("twenty bytes of lies") } else { sound(request) }
        })
    };
    let (one, two, origin) = (lying().await, lying().await, Scripted::plain(sound).await);
    let mirrors = [one.address.to_string(), two.address.to_string()];
    let bench = Bench::new(origin.address, &mirrors, |_| ());
    let blob = blob_of(BLOB);
    for _ in 0..2 {
        assert_eq!(bench.blob().await.unwrap(), b"twenty bytes of lies");
        assert!(bench.source.distrust(&bench.repository, &blob), "another place is left");
    }
    assert_eq!(bench.blob().await.unwrap(), BLOB);
    bench.tag().await.unwrap();
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1), "they are asked nothing more");
    let warnings = bench.warnings();
    assert_eq!(warnings.len(), 2);
    for (warning, mirror) in warnings.iter().zip(&mirrors) {
        assert!(warning.contains(mirror) && warning.contains(&blob.digest.to_string()), "{warning}");
    }
    assert!(!bench.source.distrust(&bench.repository, &blob), "the registry itself is the last");
    assert_eq!(bench.blob().await.unwrap(), BLOB, "and may be asked again");

    let bench = Bench::new(origin.address, &mirrors[..1], |set| set.origin = OriginUse::Never);
    bench.blob().await.unwrap();
    assert!(!bench.source.distrust(&bench.repository, &blob));
    let error = bench.blob().await.unwrap_err();
    assert!(matches!(error, RegistryError::NoPlace { .. }), "{error:?}");
    assert_eq!((error.kind(), error.retry()), (Kind::Integrity, Retry::Never));
    assert!(everything(&error).contains("sent wrong bytes"), "{error:?}");
}

#[tokio::test]
async fn a_blob_is_put_together_from_mirrors_that_break_off_anywhere() {
    let blob: Arc<Vec<u8>> = Arc::new((0..100_000_u32).flat_map(u32::to_le_bytes).collect());
    let size = blob.len();
    let breaking = |step: usize| {
        let blob = Arc::clone(&blob);
        let calls = AtomicUsize::new(step);
        Scripted::plain(move |request| {
            // Some length between nothing and a fifth of the blob, another one each time.
            let length = calls.fetch_add(step, Ordering::SeqCst).wrapping_mul(2_654_435_761) % (size / 5);
            let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
            let from = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0);
            let part = &blob[from..(from + length).min(size)];
            let status = if range.is_some() { 206 } else { 200 };
            let range = format!("bytes {from}-{}/{size}", size - 1);
            Reply::new(status, part).with("Content-Range", range).stating((size - from) as u64)
        })
    };
    let (one, two) = (breaking(7).await, breaking(11).await);
    let mirrors = [one.address.to_string(), two.address.to_string()];
    for _ in 0..20 {
        let bench = Bench::new(free_address(), &mirrors, |set| set.origin = OriginUse::Never);
        let descriptor = blob_of(&blob);
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let opened = bench
                .source
                .open_blob(&bench.repository, &descriptor, bytes.len() as u64..descriptor.size_bytes)
                .await;
            let mut stream = opened.unwrap();
            while let Ok(Some(chunk)) = stream.try_next().await {
                bytes.extend_from_slice(&chunk);
            }
        }
        assert!(bytes == *blob, "not what the digest says");
        let sent = bench.source.sent_bytes();
        assert_eq!((sent.len(), sent.iter().map(|(_, bytes)| bytes).sum()), (2, size as u64), "{sent:?}");
    }
    let (one, two) = (one.requests().len(), two.requests().len());
    assert!(one.abs_diff(two) <= 20, "they take turns: {one} and {two}");
}

#[tokio::test]
async fn a_mirror_that_sends_another_manifest_than_its_digest_is_dropped() {
    let mirror = Scripted::plain(|_| Reply::ok(r#"{"schemaVersion":2,"layers":[]}"#)).await;
    let origin = Scripted::plain(sound).await;
    let bench = Bench::new(origin.address, &[mirror.address.to_string()], |_| ());
    let digest = Selector::Digest(Digest::of(MANIFEST.as_bytes()));
    let document = bench.source.fetch_manifest(&bench.repository, &digest).await.unwrap();
    assert_eq!(document.bytes(), MANIFEST);
    assert!(bench.warnings()[0].contains("asked nothing more"), "{:?}", bench.warnings());
    bench.blob().await.unwrap();
    assert_eq!(mirror.requests().len(), 1);
}

#[tokio::test]
async fn the_registry_can_say_what_its_tags_name() {
    const OTHER: &str = r#"{"schemaVersion":2,"mediaType":"old"}"#;
    // It knows the manifest, but its tag is of yesterday.
    let stale = || {
        Scripted::plain(|request| {
            if request.target.ends_with("/manifests/1") { Reply::ok(OTHER) } else { sound(request) }
        })
    };
    let (mirror, origin) = (stale().await, Scripted::plain(sound).await);
    let mirrors = [mirror.address.to_string()];
    let bench = Bench::new(origin.address, &mirrors, |_| ());
    assert_eq!(bench.tag().await.unwrap().bytes(), OTHER, "a mirror is believed by default");

    let bench = Bench::new(origin.address, &mirrors, |set| set.verify_tag = TagAuthority::Origin);
    assert_eq!(bench.tag().await.unwrap().bytes(), MANIFEST);
    assert_eq!(targets(&origin), ["HEAD /v2/org/app/manifests/1"], "which counts as no pull");
    let by_digest = format!("GET /v2/org/app/manifests/{}", Digest::of(MANIFEST.as_bytes()));
    assert_eq!(targets(&mirror).last(), Some(&by_digest));

    // Never asked, it still says what tags name.
    let bench = Bench::new(origin.address, &mirrors, |set| {
        (set.verify_tag, set.origin) = (TagAuthority::Origin, OriginUse::Never);
    });
    assert_eq!(bench.tag().await.unwrap().bytes(), MANIFEST);

    // A registry that states no digest, or no HEAD.
    for status in [200, 405] {
        let origin = Scripted::plain(move |request| match request.method.as_str() {
            "HEAD" => Reply::new(status, ""),
            _ => Reply::ok(MANIFEST),
        })
        .await;
        let bench = Bench::new(origin.address, &mirrors, |set| set.verify_tag = TagAuthority::Origin);
        assert_eq!(bench.tag().await.unwrap().bytes(), MANIFEST);
    }
    let before = mirror.requests().len();
    let bench = Bench::new(free_address(), &mirrors, |set| set.verify_tag = TagAuthority::Origin);
    let error = bench.tag().await.unwrap_err();
    assert_eq!((error.kind(), mirror.requests().len()), (Kind::Network, before), "{error:?}");
}

#[tokio::test]
async fn the_fastest_mirror_is_found_out_once() {
    let slow = Scripted::plain(|request| sound(request).after(Duration::from_millis(400))).await;
    let (fast, origin) = (Scripted::plain(sound).await, Scripted::plain(sound).await);
    let mirrors = [free_address().to_string(), slow.address.to_string(), format!("{}/hub", fast.address)];
    let bench = Bench::new(origin.address, &mirrors, |set| set.order = MirrorOrder::Fastest);
    bench.tag().await.unwrap();
    bench.blob().await.unwrap();
    assert_eq!(fast.count("/v2/hub/"), 2, "{:?}", targets(&fast));
    assert!(targets(&slow).iter().all(|target| target == "GET /v2/"), "{:?}", targets(&slow));
    assert!(origin.requests().is_empty(), "it is the last in any case");
}

#[tokio::test]
async fn a_registry_may_be_out_of_bounds() {
    let (mirror, origin) = (Scripted::plain(|_| Reply::new(404, "")).await, Scripted::plain(sound).await);
    let mirrors = [mirror.address.to_string(), free_address().to_string()];
    let bench = Bench::new(origin.address, &mirrors, |set| set.origin = OriginUse::Never);
    let error = bench.tag().await.unwrap_err();
    assert!(matches!(error, RegistryError::NoPlace { .. }), "{error:?}");
    let text = everything(&error);
    assert!(mirrors.iter().all(|mirror| text.contains(mirror)), "{text}");
    assert_eq!(error.retry(), Retry::Soon, "one of them may come back");
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn the_registrys_own_word_decides() {
    let missing = || Scripted::plain(|_| Reply::new(404, ""));
    let (origin, down) = (missing().await, free_address().to_string());
    let bench = Bench::new(origin.address, &[down], |_| ());
    let error = bench.tag().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::NotFound, Retry::Never), "{error:?}");
}

#[tokio::test]
async fn everyone_gets_the_credentials_of_its_own_host() {
    let asking = || {
        Scripted::plain(|request| match request.authorization() {
            None => Reply::challenge("Basic realm=x"),
            Some(_) if request.target.contains("/manifests/") => Reply::new(404, ""),
            Some(_) => sound(request),
        })
    };
    let (mirror, origin) = (asking().await, asking().await);
    let password =
        |name: &str| Credential::Password { username: name.to_owned(), password: Secret::new("x") };
    let credentials = Credentials::default()
        .with(registry(mirror.address), password("mirror"))
        .with(registry(origin.address), password("origin"));
    let bench = Bench::with(credentials, origin.address, &[mirror.address.to_string()], |_| ());
    bench.tag().await.unwrap_err();
    // `mirror:x` and `origin:x`
    for (server, expected) in [(&mirror, "Basic bWlycm9yOng="), (&origin, "Basic b3JpZ2luOng=")] {
        let sent: Vec<_> = server
            .requests()
            .iter()
            .filter_map(|request| request.authorization().map(str::to_owned))
            .collect();
        assert_eq!(sent, [expected]);
    }
}

#[tokio::test]
async fn a_registrys_limit_of_connections_holds() {
    let origin = Scripted::plain(|request| sound(request).after(Duration::from_millis(50))).await;
    let bench = Bench::new(origin.address, &[], |set| set.connections = Some(2));
    let first =
        bench.source.open_blob(&bench.repository, &blob_of(BLOB), 0..BLOB.len() as u64).await.unwrap();
    let second =
        bench.source.open_blob(&bench.repository, &blob_of(BLOB), 0..BLOB.len() as u64).await.unwrap();
    let third = tokio::time::timeout(Duration::from_millis(500), bench.blob()).await;
    assert!(third.is_err(), "two are open");
    assert_eq!(origin.requests().len(), 2);
    drop(first);
    assert_eq!(bench.blob().await.unwrap(), BLOB);
    drop(second);
}

#[tokio::test]
async fn a_limit_that_is_near_is_told_once() {
    let hub = Scripted::plain(|request| {
        sound(request).with("ratelimit-limit", "100;w=21600").with("ratelimit-remaining", "5;w=21600")
    })
    .await;
    let warnings = Arc::<Warnings>::default();
    let reporter = SharedReporter::new(Arc::clone(&warnings) as Arc<dyn Reporter>);
    let client = Client::new(ClientOptions { reporter, ..ClientOptions::default() }).unwrap();
    for _ in 0..2 {
        fetch_tag(&client, &repository(hub.address)).await.unwrap();
    }
    let told = warnings.0.lock().unwrap().clone();
    let rest = "lets you make 5 more requests (100 are allowed in 6 h); those who log in may have more";
    assert_eq!(told, [format!("{} {rest}", hub.address)]);
}

#[tokio::test]
async fn a_mirror_on_plain_http_has_to_be_declared() {
    let settings = RegistrySettings {
        mirrors: vec!["http://mirror.example".parse().unwrap()],
        ..RegistrySettings::default()
    };
    let registries = Registries::from([(RegistryName("docker.io".parse().unwrap()), settings)]);
    let reporter = SharedReporter::default();
    let error = Mirrored::new(client(), &registries, &reporter).err().unwrap();
    assert!(matches!(error, RegistryError::PlainMirror { .. }), "{error:?}");
    let insecure_hosts = vec!["mirror.example".parse().unwrap()];
    let client = Client::new(ClientOptions { insecure_hosts, ..ClientOptions::default() }).unwrap();
    assert!(Mirrored::new(client, &registries, &reporter).is_ok());
}
