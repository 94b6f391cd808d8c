//! Logins: sessions, tokens, and how often somebody may guess.
//!
//! Threats: guessing, stolen cookies, timing, and hashing as a way to keep the server busy. After a few wrong passwords
//! an address waits; hashes are made two at a time; what is compared with a secret are hashes; a session is 256 random
//! bits in a cookie that scripts don't see and other sites don't send, and ends after half a day.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tokio::sync::Semaphore;

use super::answer::{Refusal, failed};
use super::lock;
use super::users::{Users, random};
use crate::fsio::blocking;
use crate::image::Digest;
use crate::secret::Secret;

const COOKIE: &str = "sealift_session";
/// How long a session lasts.
const SESSION: Duration = Duration::from_hours(12);
/// No more sessions at a time; the oldest goes.
const MAX_SESSIONS: usize = 10_000;
/// How long a Basic login that was right is not hashed again.
const REMEMBERED: Duration = Duration::from_mins(5);
/// So many wrong logins of an address within [`GUESSES_TIME`].
const MAX_GUESSES: u32 = 10;
const GUESSES_TIME: Duration = Duration::from_mins(5);
/// No more addresses are counted at a time.
const MAX_GUESSERS: usize = 10_000;
/// Hashes at a time: each takes 19 MiB for a while.
const HASHES: usize = 2;
/// The user's name of whoever has the token.
const TOKEN_USER: &str = "token";

/// Who may do what: everybody where there are neither users nor a token.
pub(super) struct Access {
    users: Arc<Users>,
    /// Of the token.
    token: Option<Digest>,
    sessions: Mutex<HashMap<Digest, Known>>,
    remembered: Mutex<HashMap<Digest, Known>>,
    guesses: Mutex<HashMap<IpAddr, Guesses>>,
    hashing: Semaphore,
}

#[derive(Clone)]
struct Known {
    user: String,
    since: Instant,
}

struct Guesses {
    wrong: u32,
    since: Instant,
}

impl Access {
    pub(super) fn new(users: Users, token: Option<&Secret>) -> Self {
        Self {
            users: Arc::new(users),
            token: token.map(|token| Digest::of(token.reveal().as_bytes())),
            sessions: Mutex::default(),
            remembered: Mutex::default(),
            guesses: Mutex::default(),
            hashing: Semaphore::new(HASHES),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.users.is_empty() && self.token.is_none()
    }

    pub(super) fn is_user(&self, name: &str) -> bool {
        self.users.has(name)
    }

    pub(super) fn by_password(&self) -> bool {
        !self.users.is_empty()
    }

    pub(super) fn by_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whose the session, the token or the password in the headers is; none for a stranger.
    pub(super) async fn user(&self, headers: &HeaderMap, from: IpAddr) -> Result<Option<String>, Refusal> {
        if let Some(user) = self.of_session(headers) {
            return Ok(Some(user));
        }
        let stated = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, value)) = stated.and_then(|stated| stated.split_once(' ')) else { return Ok(None) };
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.with_token(&Secret::new(value.trim()), from).map(Some);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Ok(None);
        }
        let decoded = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((name, password)) = decoded.as_deref().and_then(|decoded| decoded.split_once(':')) else {
            return Ok(None);
        };
        // Programs log in with each request.
        let key = Digest::of(value.as_bytes());
        if let Some(known) =
            lock(&self.remembered).get(&key).filter(|known| known.since.elapsed() < REMEMBERED)
        {
            return Ok(Some(known.user.clone()));
        }
        let password = Secret::new(password);
        self.check_guesses(from)?;
        let user = if self.is_token(&password) {
            TOKEN_USER.to_owned()
        } else {
            self.with_password(name, password, from).await?
        };
        remember(&mut lock(&self.remembered), key, &user);
        Ok(Some(user))
    }

    /// The user of a right password.
    pub(super) async fn with_password(
        &self,
        name: &str,
        password: Secret,
        from: IpAddr,
    ) -> Result<String, Refusal> {
        self.check_guesses(from)?;
        // Counted before it is known to be wrong: many at once are many.
        self.guessed(from);
        let (users, asked) = (Arc::clone(&self.users), name.to_owned());
        let permit = self.hashing.acquire().await.map_err(failed)?;
        let is_right = blocking(move || users.verify(&asked, &password)).await;
        drop(permit);
        if !is_right {
            return Err(Refusal::Unauthorized("wrong_password", "the user name or the password is wrong"));
        }
        // The others stay counted: a right login now and then gains no guesses at other users.
        if let Some(known) = lock(&self.guesses).get_mut(&counted(from)) {
            known.wrong = known.wrong.saturating_sub(1);
        }
        Ok(name.to_owned())
    }

    /// The user of the right token.
    pub(super) fn with_token(&self, token: &Secret, from: IpAddr) -> Result<String, Refusal> {
        self.check_guesses(from)?;
        if self.is_token(token) {
            return Ok(TOKEN_USER.to_owned());
        }
        self.guessed(from);
        Err(Refusal::Unauthorized("wrong_token", "the token is wrong"))
    }

    fn is_token(&self, token: &Secret) -> bool {
        let given = Digest::of(token.reveal().as_bytes());
        self.token.as_ref().is_some_and(|token| is_same(token.hex(), given.hex()))
    }

    /// Begins a session; what is given back is for the cookie alone.
    pub(super) fn begin(&self, user: &str) -> Result<Secret, Refusal> {
        let id = URL_SAFE_NO_PAD.encode(random::<32>().map_err(failed)?);
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, known| known.since.elapsed() < SESSION);
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) =
                sessions.iter().min_by_key(|(_, known)| known.since).map(|(id, _)| id.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(Digest::of(id.as_bytes()), Known { user: user.to_owned(), since: Instant::now() });
        Ok(Secret::new(id))
    }

    /// Ends the session in the headers; whose it was.
    pub(super) fn end(&self, headers: &HeaderMap) -> Option<String> {
        let id = session_id(headers)?;
        lock(&self.sessions).remove(&Digest::of(id.as_bytes())).map(|known| known.user)
    }

    /// Whose session is in the headers.
    pub(super) fn of_session(&self, headers: &HeaderMap) -> Option<String> {
        // Looked up by a hash: how long that takes tells nothing of the ids there are.
        let id = Digest::of(session_id(headers)?.as_bytes());
        let sessions = lock(&self.sessions);
        sessions.get(&id).filter(|known| known.since.elapsed() < SESSION).map(|known| known.user.clone())
    }

    fn check_guesses(&self, from: IpAddr) -> Result<(), Refusal> {
        let guesses = lock(&self.guesses);
        let Some(known) = guesses.get(&counted(from)) else { return Ok(()) };
        let left = GUESSES_TIME.saturating_sub(known.since.elapsed());
        if known.wrong < MAX_GUESSES || left.is_zero() {
            return Ok(());
        }
        Err(Refusal::TooMany("too_many_logins", "too many wrong logins; wait a while", left))
    }

    fn guessed(&self, from: IpAddr) {
        let mut guesses = lock(&self.guesses);
        if guesses.len() >= MAX_GUESSERS {
            guesses.retain(|_, known| known.since.elapsed() < GUESSES_TIME);
        }
        if guesses.len() >= MAX_GUESSERS {
            // Who has so many addresses guesses as often with them as anew.
            guesses.clear();
        }
        let known = guesses.entry(counted(from)).or_insert(Guesses { wrong: 0, since: Instant::now() });
        if known.since.elapsed() >= GUESSES_TIME {
            *known = Guesses { wrong: 0, since: Instant::now() };
        }
        known.wrong += 1;
    }
}

/// The `Set-Cookie` of a session, or of its end.
pub(super) fn cookie(id: Option<&Secret>, path: &str, is_secure: bool) -> String {
    let (id, age) = id.map_or(("", 0), |id| (id.reveal(), SESSION.as_secs()));
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Who has an IPv6 address has 2⁶⁴ of them.
fn counted(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// Compares without telling by its time where two texts of one length differ.
fn is_same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

fn remember(remembered: &mut HashMap<Digest, Known>, key: Digest, user: &str) {
    remembered.retain(|_, known| known.since.elapsed() < REMEMBERED);
    remembered.insert(key, Known { user: user.to_owned(), since: Instant::now() });
}
