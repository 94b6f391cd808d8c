//! Debian's Chromium, driven by its chromedriver as a person would: what is shown is looked at, what is clicked is clicked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::daemon::{Daemon, await_port, await_that, free_address};
use crate::registry::block_on;
use crate::session::session;

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a person's browser is set.
#[derive(Clone, Copy)]
pub(crate) struct Person {
    pub(crate) language: &'static str,
    pub(crate) is_dark: bool,
    /// Of the window.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) has_phone: bool,
}

/// At a desk, in English.
pub(crate) const DESK: Person =
    Person { language: "en-GB", is_dark: false, width: 1400, height: 1000, has_phone: false };
/// On a phone, in Chinese, in the dark.
pub(crate) const PHONE: Person =
    Person { language: "zh-CN", is_dark: true, width: 390, height: 844, has_phone: true };

/// A browser with one window. It ends with its value.
pub(crate) struct Browser {
    client: Client,
    folder: PathBuf,
    _driver: Daemon,
}

impl Browser {
    /// Opens a browser; downloads go to its folder.
    pub(crate) fn open(folder: &Path, person: Person) -> Self {
        let folder = folder.join(format!("browser-{}", person.language));
        let downloads = folder.join("downloads");
        fs::create_dir_all(&downloads).unwrap();
        let address = free_address();
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={}", address.rsplit(':').next().unwrap())).env("HOME", &folder);
        let driver = Daemon::start(&folder, "chromedriver", &mut driver);
        await_port(&address);
        let mut options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                format!("--user-data-dir={}", folder.join("profile").display()),
                format!("--window-size={},{}", person.width, person.height),
                format!("--lang={}", person.language),
            ],
            "prefs": {
                "intl.accept_languages": person.language,
                "download.default_directory": downloads,
                "download.prompt_for_download": false,
                // With it scripts are kept without a question, which would be asked where no driver comes.
                "safebrowsing.enabled": true,
            },
        });
        if person.has_phone {
            let metrics =
                json!({ "width": person.width, "height": person.height, "pixelRatio": 2, "touch": true });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let wanted = wanted.as_object().unwrap().clone();
        let client = block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(wanted).connect(&format!("http://{address}")).await.unwrap()
        });
        let browser = Self { client, folder, _driver: driver };
        let scheme = if person.is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
        browser
    }

    /// Goes to a page, or to the same again.
    pub(crate) fn go(&self, address: &str) {
        block_on(self.client.goto(address)).unwrap();
    }

    /// What an expression is, in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        block_on(self.client.execute(&format!("return {expression};"), vec![])).unwrap()
    }

    /// The same, of one that is promised.
    fn promised(&self, expression: &str) -> Value {
        let script =
            format!("const tell = arguments[0]; ({expression}).then(tell, (error) => tell(`${{error}}`));");
        block_on(self.client.execute_async(&script, vec![])).unwrap()
    }

    /// Waits until an expression is true.
    pub(crate) fn await_that(&self, expression: &str) {
        let begin = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            if begin.elapsed() > PATIENCE {
                let shown = self.value("[navigator.languages, document.documentElement.innerText]");
                panic!("{expression}: not within {PATIENCE:?}; {shown:#}\n{:#?}", self.console());
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the element shows this somewhere.
    pub(crate) fn await_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.await_that(&format!("document.querySelector({selector})?.innerText.includes({text})"));
    }

    /// What the element shows.
    pub(crate) fn text(&self, selector: &str) -> String {
        block_on(async { self.element(selector).await.text().await.unwrap() })
    }

    async fn element(&self, selector: &str) -> Element {
        let found = self.client.find(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    pub(crate) fn click(&self, selector: &str) {
        block_on(async {
            let clicked = self.element(selector).await.click().await;
            clicked.unwrap_or_else(|error| panic!("{selector}: {error}"));
        });
    }

    /// Types into a field, after what is there.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        block_on(async {
            let typed = self.element(selector).await.send_keys(text).await;
            typed.unwrap_or_else(|error| panic!("{selector}: {error}"));
        });
    }

    /// Empties a field.
    pub(crate) fn clear(&self, selector: &str) {
        let (control, null) = (char::from(Key::Control), char::from(Key::Null));
        self.type_into(selector, &format!("{control}a{null}{}", char::from(Key::Backspace)));
    }

    /// Types to whatever has the focus.
    pub(crate) fn press(&self, keys: &str) {
        block_on(async { self.client.active_element().await.unwrap().send_keys(keys).await.unwrap() });
    }

    /// Presses Tab until what has the focus fits the selector.
    pub(crate) fn tab_to(&self, selector: &str) {
        let is_there = format!("document.activeElement.matches({})", json!(selector));
        let tab = char::from(Key::Tab).to_string();
        for _ in 0..100 {
            if self.value(&is_there) == true {
                return;
            }
            self.press(&tab);
        }
        panic!("Tab does not lead to {selector}");
    }

    /// Drops a file with this text on an element.
    pub(crate) fn drop_file(&self, selector: &str, name: &str, text: &str) {
        let (selector, name, text) = (json!(selector), json!(name), json!(text));
        let script = format!(
            "const dropped = new DataTransfer();
            dropped.items.add(new File([{text}], {name}));
            const event = new DragEvent('drop', {{ dataTransfer: dropped, bubbles: true, cancelable: true }});
            document.querySelector({selector}).dispatchEvent(event);"
        );
        block_on(self.client.execute(&script, vec![])).unwrap();
    }

    /// The file that a click brought, once it is whole.
    pub(crate) fn downloaded(&self, name: &str) -> PathBuf {
        let file = self.folder.join("downloads").join(name);
        await_that(&format!("the download of {name}"), || file.exists());
        file
    }

    /// Keeps a picture of what is shown from an element on, for people to look at.
    pub(crate) fn picture(&self, name: &str, from: &str) {
        self.value(&format!("document.querySelector({}).scrollIntoView()", json!(from)));
        let folder = session().state.parent().unwrap().join("pictures");
        fs::create_dir_all(&folder).unwrap();
        let picture = block_on(self.client.screenshot()).unwrap();
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Fails if a serious fault keeps people with other senses or hands out.
    pub(crate) fn is_accessible(&self) {
        let axe = fs::read_to_string(&session().axe).unwrap();
        // Not as an element of the page, which its policy would refuse.
        self.devtools("Runtime.evaluate", &json!({ "expression": axe }));
        let faults = "axe.run().then((found) => found.violations
            .filter((fault) => ['serious', 'critical'].includes(fault.impact))
            .map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.html).join(' ')}`))";
        assert_eq!(self.promised(faults), json!([]));
    }

    /// Fails if the page did what its policy forbids, or failed in its own scripts.
    pub(crate) fn said_no_error(&self) {
        let faults: Vec<_> = self.console().into_iter().filter(is_fault).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// What is in the console since it was read last.
    fn console(&self) -> Vec<Value> {
        let read = Chromium("se/log", json!({ "type": "browser" }));
        block_on(self.client.issue_cmd(read)).unwrap().as_array().unwrap().clone()
    }

    /// Forgets what was fetched before.
    pub(crate) fn forget_all(&self) {
        self.devtools("Network.clearBrowserCache", &json!({}));
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        block_on(self.client.issue_cmd(Chromium("goog/cdp/execute", body))).unwrap();
    }
}

/// What is refused over HTTP is in the console too, and no fault of the page.
fn is_fault(entry: &Value) -> bool {
    entry["level"] == "SEVERE" && entry["source"] != "network"
}

/// A command that only Chromium has.
#[derive(Debug)]
struct Chromium(&'static str, Value);

impl WebDriverCompatibleCommand for Chromium {
    fn endpoint(&self, base: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session_id.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}
