//! The page of `sealift serve` in a real browser: what a person does with it, from the list to the loaded image.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::browser::{Browser, DESK, PHONE};
use crate::command::output_of;
use crate::docker::Docker;
use crate::front::{Front, are_the_same};
use crate::guarded::BASIC;
use crate::images::{Image, LARGE, push_own};
use crate::loader::Loader;
use crate::proxies::{HIDDEN, PASSWORD, Site, squid};
use crate::served::Served;
use crate::session::{Set, session};

/// What each connection gets of a layer, so that there is something to see: 24 MiB last for longer than anybody looks.
const SLOW: &str = "limit_rate 64k;";
/// So that much of it is there soon.
const BRISK: &str = "limit_rate 512k;";
/// A registry that says what a browser may take for more than words.
const EVIL: &str = r#"location /v2/e2e/evil/ {
    default_type application/json;
    return 403 '{"errors": [{"code": "DENIED", "message": "<img src=x onerror=document.title=1>"}]}';
}"#;
/// What makes a page do something if it is taken for HTML.
const MARKUP: &str = "<img src=x onerror=document.title=1>";
const BARS: &str =
    "[...document.querySelectorAll('.image > progress')].map((bar) => bar.max > 1 ? bar.value : 0)";

/// The sum of what the bars of all archives show.
fn bytes_shown(browser: &Browser) -> u64 {
    let bars: Vec<f64> = serde_json::from_value(browser.value(BARS)).unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a small image")]
    bars.iter().map(|bytes| *bytes as u64).sum()
}

fn await_bytes(browser: &Browser, bytes: u64) {
    browser.await_that(&format!("{BARS}.reduce((sum, one) => sum + one, 0) > {bytes}"));
}

fn await_files(browser: &Browser, count: usize) {
    browser.await_that(&format!("document.querySelectorAll('#file-rows tr').length === {count}"));
}

fn files(browser: &Browser) -> Vec<String> {
    let names =
        browser.value("[...document.querySelectorAll('#file-rows th')].map((name) => name.textContent)");
    serde_json::from_value(names).unwrap()
}

/// The row of the file that says this somewhere, as a selector.
fn row_of(browser: &Browser, words: &str) -> String {
    let words = json!(words);
    let place = browser.value(&format!(
        "[...document.querySelectorAll('#file-rows tr')].findIndex((row) => row.innerText.includes({words}))"
    ));
    format!("#file-rows tr:nth-child({})", place.as_i64().unwrap() + 1)
}

/// The command that the row's button copies: what a paste brings.
fn copied_command(browser: &Browser, row: &str) -> String {
    browser.click(&format!("{row} .actions button:not(.danger)"));
    browser.await_text("#said", "docker load");
    browser.click("#filter");
    browser.press(&format!("{}v{}", char::from(Key::Control), char::from(Key::Null)));
    browser.await_that("document.querySelector('#filter').value");
    let pasted = browser.value("document.querySelector('#filter').value");
    browser.clear("#filter");
    pasted.as_str().unwrap().to_owned()
}

fn has_focus(browser: &Browser, id: &str) {
    browser.await_that(&format!("document.activeElement.id === '{id}'"));
}

/// Nothing that came from elsewhere was taken for HTML.
fn is_not_fooled(browser: &Browser) {
    assert_eq!(browser.value("document.querySelector('main img, dialog img, #foot img')"), Value::Null);
    assert_eq!(browser.value("document.title"), "sealift");
}

#[test]
fn a_pasted_list_becomes_files_that_docker_loads() {
    let mut front = Front::start("page-list");
    front.set("", SLOW);
    let images = [push_own("e2e/page/one"), push_own("e2e/page/two")];
    let served = Served::for_user("page-list-served", "ann", "a long password");
    let browser = Browser::open(&front.folder, DESK);

    browser.go(&served.url());
    browser.await_that("!document.querySelector('#login').hidden");
    browser.is_accessible();
    browser.type_into("#login-name", "ann");
    browser.type_into("#login-password", "a wrong password\n");
    browser.await_text("#login-problem", "wrong");
    assert_eq!(browser.value("document.querySelector('#work').hidden"), true);
    browser.type_into("#login-password", "a long password\n");
    browser.await_that("!document.querySelector('#work').hidden");

    // Each line is checked while it is typed; what is wrong keeps the start from being pressed.
    let names = [images[0].name(), images[1].name(), front.name(&LARGE)];
    browser.type_into("#list", &format!("{}\n# a comment\nBad Name\n{MARKUP}\n", names[0]));
    browser.await_text("#verdicts li:nth-child(4)", "✗ a repository name has only");
    assert!(browser.text("#verdicts li:nth-child(1)").contains(&format!("✓ {}", names[0])));
    assert!(browser.text("#verdicts li:nth-child(3)").contains('✗'));
    assert!(browser.text("#list-summary").contains("2 lines"));
    assert_eq!(browser.value("document.querySelector('#start').disabled"), true);
    is_not_fooled(&browser);
    browser.is_accessible();
    browser.picture("list", "#new");

    // A file that is dropped takes the list's place.
    browser.drop_file("#list", "images.txt", &names.join("\r\n"));
    browser.await_text("#list-summary", "3 images");
    browser.click("#start");
    has_focus(&browser, "exports-title");
    await_bytes(&browser, 1);
    await_bytes(&browser, bytes_shown(&browser));
    browser.picture("exports", "#exports");
    browser.is_accessible();

    // A reload in the middle keeps the state, and the bars go on.
    let before = bytes_shown(&browser);
    browser.go(&served.url());
    await_bytes(&browser, before);
    assert_eq!(browser.text("#running .export .state"), "running");
    front.set("", "");
    browser.await_text("#running .export .state", "done");
    await_files(&browser, 3);
    browser.picture("files", "#files");

    // Downloaded, loaded by the command that was copied, run.
    let row = row_of(&browser, &names[0]);
    let name = browser.text(&format!("{row} th"));
    browser.click(&format!("{row} a[download]"));
    let downloaded = browser.downloaded(&name);
    are_the_same(&downloaded, &served.folder.join(&name));
    let command = copied_command(&browser, &row);
    assert_eq!(command, format!("docker load < {name}"));
    let docker = Docker(Set::Old);
    let run = |program: &str, arguments: &[&str]| {
        let mut run = Command::new(program);
        run.args(arguments).current_dir(downloaded.parent().unwrap()).env("DOCKER_HOST", docker.host());
        output_of(&mut run);
        assert_eq!(docker.run(&names[0], &[]), images[0].prints);
        docker.remove(&names[0]);
    };
    run("/bin/sh", &["-c", &command]);
    // The script finds the archive beside it.
    browser.click(&format!("{row} .actions a:nth-of-type(2)"));
    let script = browser.downloaded(&format!("tag_{}.sh", name.trim_end_matches(".tar")));
    run("/bin/dash", &[script.to_str().unwrap(), "docker"]);

    deletes_and_cleans_up(&browser, &served.folder, &names[0]);
    browser.await_text("#log-rows", "clean up");
    let log = browser.text("#log-rows");
    for words in ["ann", "login", &format!("new export {}", names[0]), &format!("download {name}")] {
        assert!(log.contains(words), "{words}: {log}");
    }
    browser.is_accessible();
    browser.click("#logout");
    browser.await_that("!document.querySelector('#login').hidden");
    has_focus(&browser, "login-name");
    assert_eq!(browser.value("document.querySelectorAll('#work tbody tr, .export').length"), 0);
    browser.said_no_error();
}

/// Of three files one is deleted, and one goes in a clean-up that says first which.
fn deletes_and_cleans_up(browser: &Browser, folder: &Path, image: &str) {
    let row = row_of(browser, image);
    let name = browser.text(&format!("{row} th"));
    browser.click(&format!("{row} .danger"));
    assert_eq!(browser.text("#sure-names"), name);
    browser.is_accessible();
    browser.click("#sure .danger");
    await_files(browser, 2);
    assert!(!folder.join(&name).exists());

    let oldest = files(browser).pop().unwrap();
    browser.click("#cleanup");
    browser.type_into("#max-files", "1");
    browser.await_that("!document.querySelector('#cleanup-go').disabled");
    assert!(browser.text("#cleanup-names").starts_with(&oldest));
    assert!(folder.join(&oldest).exists(), "it was only asked what would go");
    browser.picture("cleanup", "#files");
    browser.is_accessible();
    browser.click("#cleanup-go");
    await_files(browser, 1);
    assert!(!folder.join(&oldest).exists());
}

#[test]
fn an_export_is_cancelled_and_carried_on_with_and_a_failing_image_shows_why() {
    let mut front = Front::start("page-cancel");
    front.set("", &format!("{BRISK} {EVIL}"));
    let served = Served::start("page-cancel-served");
    let browser = Browser::open(&front.folder, DESK);
    browser.go(&served.url());
    let missing = format!("{}/e2e/not-there:v1", session().registry);
    let evil = format!("{}/e2e/evil:v1", front.address);
    browser.drop_file("#list", "list.txt", &format!("{missing}\n{evil}\n{}", front.name(&LARGE)));
    browser.await_text("#list-summary", "3 images");
    browser.click("#start");
    await_bytes(&browser, 8 << 20);
    let shown = bytes_shown(&browser);
    browser.click("#running .cancel");
    browser.await_text("#running .state", "cancelled");
    has_focus_on(&browser, ".retry");
    assert_eq!(archives(&served.folder), 0, "what is not whole has a final name");
    front.nginx.requests();
    front.set("", EVIL);
    browser.click("#running .retry");
    browser.await_text("#running .state", "failed");

    let said = browser.text("#running .image:nth-child(1) .problem");
    assert!(said.contains("e2e/not-there"), "{said}");
    let said = browser.text("#running .image:nth-child(2) .problem");
    assert!(said.contains(MARKUP), "{said}");
    is_not_fooled(&browser);
    browser.picture("failed", "#exports");
    browser.is_accessible();
    browser.click("#running details summary");
    browser.await_text("#running .job-log", "carrying on");
    assert!(browser.text("#running .job-log").contains(MARKUP));
    await_files(&browser, 1);
    let sent = front.layer_bytes(&LARGE);
    let whole = fs::metadata(served.folder.join(&files(&browser)[0])).unwrap().len();
    // What was on its way at the cancel is lost, but not half of what was shown.
    assert!(sent < whole - shown / 2, "{sent} bytes of {whole} were sent, {shown} were there: it began anew");

    // In the dark, and in Chinese; a reload keeps the choice.
    browser.click("#colours option[value=dark]");
    browser.await_that("getComputedStyle(document.body).backgroundColor === 'rgb(16, 22, 28)'");
    browser.is_accessible();
    browser.picture("failed-dark", "#exports");
    browser.click("#language option[value=zh]");
    browser.await_text("#new-title", "新建导出");
    browser.go(&served.url());
    browser.await_text("#log-rows", "取消导出");
    browser.await_text("#running .state", "失败");
    for (place, words) in [(1, "仓库中没有这个镜像"), (2, "仓库要求登录")] {
        let problem = format!("#running .image:nth-child({place}) .problem");
        browser.await_text(&problem, words);
        let said = browser.text(&problem);
        assert!(!said.contains(|c: char| c.is_ascii_alphabetic()), "{said}");
    }
    browser.drop_file("#list", "some.yaml", "one: two\n");
    browser.await_text("#list-summary", "既不是 compose 文件");
    browser.picture("log-chinese", "#log");
    browser.said_no_error();
}

/// The server is stopped in the middle and started again: the page waits for it, and its bars go on.
#[test]
fn a_restart_in_the_middle_is_waited_for() {
    let mut front = Front::start("page-restart");
    front.set("", SLOW);
    let mut served = Served::start("page-restart-served");
    let browser = Browser::open(&front.folder, DESK);
    browser.go(&served.url());
    browser.type_into("#list", &front.name(&LARGE));
    browser.await_text("#list-summary", "1 image");
    browser.click("#start");
    await_bytes(&browser, 1 << 20);
    served.stop();
    browser.await_text("#trouble-words", "does not answer");
    served.start_again();
    browser.await_text("#said", "answers again");
    assert_eq!(browser.value("document.querySelector('#trouble').hidden"), true);
    browser.await_text("#running .state", "running");
    await_bytes(&browser, 1);
    await_bytes(&browser, bytes_shown(&browser));
    front.set("", "");
    browser.await_text("#running .state", "done");
    await_files(&browser, 1);
    browser.said_no_error();
}

fn has_focus_on(browser: &Browser, selector: &str) {
    browser.await_that(&format!("document.activeElement.matches('{selector}')"));
}

/// How many files have the name of an archive.
fn archives(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "tar")).count()
}

#[test]
fn a_phone_in_chinese_needs_no_mouse() {
    let image: Image = push_own("e2e/page/three");
    let served = Served::start("page-phone");
    let browser = Browser::open(&session().work_folder("page-phone-browser"), PHONE);
    let enter = char::from(Key::Enter).to_string();
    browser.go(&served.url());
    browser.await_text("#new-title", "新建导出");
    browser.tab_to("#list");
    browser.press(&format!("{}\nBad\n", image.name()));
    browser.await_text("#verdicts .bad", "仓库名只能用小写字母");
    browser.picture("phone-list", "#new");
    browser.press(&char::from(Key::Backspace).to_string().repeat("\nBad\n".len()));
    browser.await_text("#list-summary", "1 个镜像");
    browser.tab_to("#start");
    browser.press(&enter);
    has_focus(&browser, "exports-title");
    browser.await_text("#running .state", "已完成");
    await_files(&browser, 1);
    let is_narrow = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.value(is_narrow), true, "the page is wider than the phone");
    browser.is_accessible();
    browser.picture("phone", "#exports");

    browser.tab_to("#file-rows .danger");
    browser.press(&enter);
    browser.await_that("document.querySelector('#sure').open");
    has_focus_on(&browser, "#sure [data-close]"); // Enter would delete.
    browser.tab_to("#sure .danger");
    browser.press(&enter);
    browser.await_text("#no-files", "还没有文件");
    has_focus(&browser, "files-title");
    // What the server refuses is told in Chinese, too.
    browser.tab_to("#platform");
    browser.press("no/such/platform/at/all");
    browser.tab_to("#list");
    browser.press(&image.name());
    browser.await_text("#list-summary", "1 个镜像");
    browser.tab_to("#start");
    browser.press(&enter);
    browser.await_text("#start-problem", "平台有误");
    has_focus(&browser, "start");
    browser.said_no_error();
}

/// Files that others put there: names that shells, addresses and HTML read as more than a name.
#[test]
fn files_with_odd_names_are_listed_downloaded_and_loaded() {
    let image = push_own("e2e/page/odd");
    let odd = "it's [one] #1 & é $(x).tar";
    let served = Served::start("page-odd");
    fs::copy(image.archive(), served.folder.join(odd)).unwrap();
    let markup = format!("{MARKUP}.tar");
    fs::write(served.folder.join(&markup), "no archive").unwrap();
    let browser = Browser::open(&session().work_folder("page-odd-browser"), DESK);
    browser.go(&served.url());
    await_files(&browser, 2);
    let mut listed = files(&browser);
    listed.sort();
    assert_eq!(listed, [&markup, odd]);
    let row = row_of(&browser, odd);
    browser.click(&format!("{row} a[download]"));
    let downloaded = browser.downloaded(odd);
    are_the_same(&downloaded, image.archive());
    let docker = Docker(Set::Old);
    let mut load = Command::new("/bin/sh");
    load.args(["-c", &copied_command(&browser, &row)]).current_dir(downloaded.parent().unwrap());
    output_of(load.env("DOCKER_HOST", docker.host()));
    assert_eq!(docker.run(&image.name(), &[]), image.prints);

    // What is no archive has no script to offer; of one without manifests it is said why there is none.
    assert_eq!(shown_actions(&browser, &row), ["Download", "Copy load command", "Script", "Delete"]);
    assert_eq!(shown_actions(&browser, &row_of(&browser, &markup)), ["Download", "Delete"]);
    let saved = served.folder.join("saved.tar");
    output_of(&mut docker.docker(&["save", "--output", saved.to_str().unwrap(), &image.name()]));
    docker.remove(&image.name());
    await_files(&browser, 3);
    browser.await_text("#file-rows tr:first-child", &image.name());
    browser.click("#file-rows tr:first-child .actions a:nth-of-type(2)");
    browser.await_text("#trouble-words", "saved.tar has no manifest of its images");
    browser.click("#trouble-close");

    // All are chosen, and all go.
    browser.click("#choose-all");
    browser.await_text("#delete-chosen", "(3)");
    browser.click("#delete-chosen");
    let asked = browser.text("#sure-names");
    assert!(asked.contains(MARKUP) && asked.contains(odd), "{asked}");
    is_not_fooled(&browser);
    browser.click("#sure .danger");
    await_files(&browser, 0);
    assert_eq!(archives(&served.folder), 0);
    browser.said_no_error();
}

fn shown_actions(browser: &Browser, row: &str) -> Vec<String> {
    let words = browser.text(&format!("{row} .actions"));
    words.split('\n').map(str::to_owned).collect()
}

/// Its images are checked in the list, and reached through a proxy alone, which has a password.
#[test]
fn a_dropped_compose_file_is_exported_through_a_proxy() {
    let site = Site::behind("page-proxy", squid, "");
    let registry = format!("{HIDDEN}:{}", site.port);
    let image = format!("{registry}/{}", site.image);
    let served = Served::start_so("page-proxy-served", &["--insecure", &registry]);
    let browser = Browser::open(&session().work_folder("page-proxy-browser"), DESK);
    browser.go(&served.url());
    let compose = format!(
        "services:\n  web:\n    image: {image}\n  own:\n    build: .\n  again:\n    image: {image}\n  bad:\n    image: {MARKUP}\n"
    );
    browser.drop_file("header", "compose.yaml", &compose);
    browser.await_text("#verdicts .bad", MARKUP);
    assert_eq!(browser.value("document.querySelector('#start').disabled"), true);
    is_not_fooled(&browser);
    browser.drop_file("header", "compose.yaml", compose.split("  bad").next().unwrap());
    browser.await_text("#verdicts .good", &format!("✓ {image}"));
    browser.await_text("#verdicts .note", "own");
    browser.await_text("#list-summary", "1 image to export");
    assert_eq!(browser.value("document.querySelectorAll('#verdicts .good').length"), 1);
    browser.picture("compose", "#new");

    browser.click("details:has(#source-http-proxy) summary");
    browser.type_into("#source-http-proxy", &site.url("http"));
    browser.is_accessible();
    browser.click("#start");
    browser.await_text("#running .state", "done");
    site.await_log(&format!("GET http://{registry}/v2/e2e/page-proxy/blobs/"));
    await_files(&browser, 1);
    assert!(browser.text("#file-rows .inside").contains(&image));
    assert_eq!(browser.value("document.querySelector('#source-http-proxy').value"), "");
    let grep = Command::new("grep").args(["-rF", PASSWORD]).arg(&served.folder).status().unwrap();
    assert!(!grep.success(), "the proxy's password is on the disk");
    browser.said_no_error();
}

/// What has ended is there after a reload: it is looked at, and its list is the next one's.
#[test]
fn the_history_is_looked_at_and_its_lists_are_used_again() {
    let images = [push_own("e2e/page/five"), push_own("e2e/page/six")];
    let served = Served::start("page-history");
    let browser = Browser::open(&session().work_folder("page-history-browser"), DESK);
    browser.go(&served.url());
    browser.click("[name=archive][value=one]");
    browser.type_into("#platform", "linux/amd64");
    for (index, image) in images.iter().enumerate() {
        browser.type_into("#list", &image.name());
        browser.await_text("#list-summary", "1 image");
        browser.click("#start");
        await_files(&browser, index + 1);
        browser.await_text("#running .export:first-child .state", "done");
    }
    browser.go(&served.url());
    browser.await_text("#history-count", "(2)");
    assert_eq!(browser.value("document.querySelectorAll('#running .export').length"), 0);
    browser.click("#history > summary");
    let of = |place: usize, what: &str| format!("#past .export:nth-child({place}) {what}");
    browser.await_text(&of(1, "h3"), &images[1].name());
    assert_eq!(browser.text(&of(2, "h3")), images[0].name());
    browser.click(&of(2, "summary"));
    browser.await_text(&of(2, ".job-log"), "written, whole");
    browser.is_accessible();

    browser.click(&of(2, ".again"));
    has_focus(&browser, "list");
    browser.await_text("#list-summary", "1 image");
    assert_eq!(browser.value("document.querySelector('#list').value"), images[0].name().as_str());
    assert_eq!(browser.value("document.querySelector('#form').elements.archive.value"), "one");
    assert_eq!(browser.value("document.querySelector('#platform').value"), "linux/amd64");
    browser.click("#start");
    browser.await_text("#running .state", "done");
    await_files(&browser, 3);
    // The older ones are where they were, and open as they were.
    assert!(browser.text(&of(2, ".job-log")).contains("written, whole"));
    browser.click(&of(1, ".forget"));
    browser.await_text("#history-count", "(1)");
    assert_eq!(browser.text(&of(1, "h3")), images[0].name());
    browser.said_no_error();
}

/// By age, with a file that comes while it is looked at what would go.
#[test]
fn a_clean_up_asks_again_when_other_files_would_go() {
    const DAY: u64 = 86_400;
    let served = Served::start("page-age");
    let put = |name: &str, days: u64| {
        let path = served.folder.join(name);
        fs::write(&path, name).unwrap();
        let time = SystemTime::now() - Duration::from_secs(days * DAY + 60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    let (new, old) = (put("new.tar", 6), put("old.tar", 8));
    let browser = Browser::open(&session().work_folder("page-age-browser"), DESK);
    browser.go(&served.url());
    await_files(&browser, 2);

    let row = row_of(&browser, "old.tar");
    assert_eq!(browser.text(&format!("{row} .sum")), "Work out");
    browser.click(&format!("{row} .sum button"));
    browser.await_text(&format!("{row} .sum"), "…");
    let shown = browser.value(&format!("document.querySelector('{row} .sum button').title"));
    let right = output_of(Command::new("sha256sum").arg(&old));
    assert_eq!(shown.as_str(), right.split(' ').next());
    has_focus_on(&browser, &format!("{row} .sum button"));

    browser.click("#cleanup");
    browser.type_into("#max-age", "7");
    browser.await_text("#cleanup-summary", "1 file would go");
    assert!(browser.text("#cleanup-names").starts_with("old.tar"));
    let older = put("older.tar", 9);
    browser.click("#cleanup-go");
    browser.await_text("#cleanup-summary", "The files are others now. Look again. 2 files would go");
    assert!(old.exists() && older.exists(), "what was not shown is not deleted, nor what was");
    let names = browser.text("#cleanup-names");
    assert!(names.starts_with("old.tar") && names.contains("older.tar"), "{names}");
    browser.await_that("!document.querySelector('#cleanup-go').disabled");
    browser.click("#cleanup-go");
    await_files(&browser, 1);
    assert!(new.exists() && !old.exists() && !older.exists());
    browser.said_no_error();
}

/// One archive of two registries, one of which asks who it is; a wrong password, a restart, and the right one.
#[test]
fn credentials_are_given_again_after_a_restart() {
    let (name, prints) = BASIC.push("page");
    let open = push_own("e2e/page/four");
    let mut served = Served::start("page-credentials");
    let browser = Browser::open(&session().work_folder("page-credentials-browser"), DESK);
    browser.go(&served.url());
    browser.drop_file("#list", "list.txt", &format!("{}\n{name}", open.name()));
    browser.await_text("#list-summary", "2 images");
    browser.click("details:has(#source-user) summary");
    let give = |prefix: &str, password: &str| {
        browser.type_into(&format!("#{prefix}-user"), BASIC.user);
        browser.type_into(&format!("#{prefix}-password"), password);
        browser.type_into(&format!("#{prefix}-registry"), &BASIC.address);
    };
    give("source", "another password");
    browser.click("[name=archive][value=one]");
    browser.type_into("#archive-name", "my release");
    browser.is_accessible();
    browser.click("#start");
    browser.await_text("#running .state", "failed");
    let said = browser.text("#running .image .problem");
    assert!(said.contains(&BASIC.address) && !said.contains("another password"), "{said}");
    assert_eq!(browser.value("document.querySelector('#source-password').value"), "");
    browser.click("#running .retry");
    browser.await_text("#retry-hint", "for want of a login");
    browser.click("#retry-dialog [data-close]");

    served.stop();
    browser.await_text("#trouble-words", "does not answer");
    browser.is_accessible();
    served.start_again();
    browser.await_text("#said", "answers again");
    browser.click("#running .retry");
    browser.await_text("#retry-hint", "a restart forgot");
    browser.is_accessible();
    // Without any it is refused for another reason; with the right ones it goes on.
    browser.click("#retry-dialog .main");
    browser.await_that(&format!(
        "document.querySelector('#running .image .problem').textContent !== {} && document.querySelector('#running .retry')",
        json!(said)
    ));
    let refused = browser.text("#running .image .problem");
    assert!(refused.contains(&BASIC.address), "{refused}");
    browser.click("#running .retry");
    browser.await_text("#retry-hint", "for want of a login");
    give("retry", BASIC.password);
    browser.click("#retry-dialog .main");
    browser.await_text("#running .state", "done");
    await_files(&browser, 1);
    let file = files(&browser).remove(0);
    assert!(file.starts_with("my_release_"), "{file}");
    let docker = Docker(Set::Old);
    docker.load(&served.folder.join(&file));
    assert_eq!(docker.run(&name, &[]), prints);
    docker.remove(&name);
    docker.remove(&open.name());
    let grep = Command::new("grep").args(["-rF", BASIC.password]).arg(&served.folder).status().unwrap();
    assert!(!grep.success(), "the password is on the disk");
    browser.said_no_error();
}

/// All that a first look fetches, what it asks the API too. How long that takes is told (`--nocapture`), for a quiet machine.
#[test]
fn the_first_look_is_small() {
    const LOADS: &str =
        "[performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')]";
    let served = Served::start("page-first");
    let browser = Browser::open(&session().work_folder("page-first-browser"), DESK);
    for _ in 0..5 {
        browser.forget_all();
        browser.go(&served.url());
        browser.await_that("document.querySelectorAll('#log-rows tr').length");
        let bytes = browser.value(&format!("{LOADS}.reduce((sum, load) => sum + load.transferSize, 0)"));
        let bytes = bytes.as_u64().unwrap();
        assert!((20_000..=50_000).contains(&bytes), "{bytes} bytes");
        let loaded = browser.value(&format!("{LOADS}[0].loadEventEnd")).as_f64().unwrap();
        let last = browser.value(&format!("Math.max(...{LOADS}.map((load) => load.responseEnd))"));
        println!(
            "{bytes} bytes, loaded after {loaded:.0} ms, the last answer after {:.0} ms",
            last.as_f64().unwrap()
        );
    }
}
