//! Who may use the server: users with argon2 hashes of their passwords, in a file a line each (`name:hash`).
//!
//! Threats: the file is read by whoever may; a hash tells no password. Names are told in logs, so they are plain words.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use rustls::crypto::aws_lc_rs;

use crate::fsio::{FileError, Links, open_regular, replace_private};
use crate::secret::Secret;

/// No file of users is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;
const SALT_BYTES: usize = 16;

/// The file of users can't be used.
#[derive(Debug, thiserror::Error)]
pub enum UserFileError {
    /// It can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not a name and a hash.
    #[error("{}, line {line}: expected `name:$argon2id$…`", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// There is nobody in it.
    #[error("{} names no user", .0.display())]
    Nobody(PathBuf),
    /// A name that would not be told from other words.
    #[error("`{}` is no name for a user: letters, digits, `.`, `_`, `-` and `@` make one", .0.escape_debug())]
    Name(String),
    /// A password that nobody should have.
    #[error("a password has at least {MIN_PASSWORD_BYTES} characters")]
    Short,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// No password is shorter.
pub const MIN_PASSWORD_BYTES: usize = 8;

/// Users with the hashes of their passwords.
#[derive(Clone, Debug, Default)]
pub struct Users(BTreeMap<String, String>);

impl Users {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, UserFileError> {
        let users = Self::parse(path, &text(path)?)?;
        if users.0.is_empty() { Err(UserFileError::Nobody(path.to_owned())) } else { Ok(users) }
    }

    /// Puts a user into the file, or gives him a new password; makes the file if need be. Blocks.
    pub fn add(path: &Path, name: &str, password: &Secret) -> Result<(), UserFileError> {
        if !is_name(name) {
            return Err(UserFileError::Name(name.to_owned()));
        }
        if password.reveal().len() < MIN_PASSWORD_BYTES {
            return Err(UserFileError::Short);
        }
        let text = if path.exists() { text(path)? } else { String::new() };
        Self::parse(path, &text)?;
        let salt: [u8; SALT_BYTES] = random()?;
        let hash = Argon2::default().hash_password_with_salt(password.reveal().as_bytes(), &salt);
        let hash = hash.map_err(|_| UserFileError::Random)?;
        let others = text.lines().filter(|line| line.split(':').next() != Some(name));
        let mut lines: String = others.flat_map(|line| [line, "\n"]).collect();
        lines.extend([name, ":", &hash.to_string(), "\n"]);
        Ok(replace_private(path, lines.as_bytes())?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, UserFileError> {
        let mut users = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || UserFileError::Line { path: path.to_owned(), line: index + 1 };
            let (name, hash) = line.trim_end().split_once(':').ok_or_else(bad)?;
            if !is_name(name) || !hash.starts_with("$argon2") || PasswordHash::new(hash).is_err() {
                return Err(bad());
            }
            users.insert(name.to_owned(), hash.to_owned());
        }
        Ok(Self(users))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Is it this user's password? An unknown name takes as long as a wrong password. Takes a while, and blocks.
    pub(super) fn verify(&self, name: &str, password: &Secret) -> bool {
        let known = self.0.get(name).or_else(|| self.0.values().next());
        let fits = known.is_some_and(|hash| {
            Argon2::default().verify_password(password.reveal().as_bytes(), hash.as_str()).is_ok()
        });
        fits && self.has(name)
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain)
}

fn text(path: &Path) -> Result<String, UserFileError> {
    let mut text = String::new();
    let file = open_regular(path, Links::Follow)?;
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(FileError::io("read", path))?;
    Ok(text)
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], UserFileError> {
    let mut bytes = [0; N];
    let filled = aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| UserFileError::Random).map(|()| bytes)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    #[test]
    fn users_are_added_known_and_given_new_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let secret = |text: &str| Secret::new(text);
        Users::add(&path, "ann", &secret("correct horse")).unwrap();
        Users::add(&path, "bob", &secret("battery staple")).unwrap();
        Users::add(&path, "ann", &secret("something else")).unwrap();
        let users = Users::read(&path).unwrap();
        assert!(
            users.verify("ann", &secret("something else")) && users.verify("bob", &secret("battery staple"))
        );
        assert!(
            !users.verify("ann", &secret("correct horse")) && !users.verify("eve", &secret("something else"))
        );
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("something") && text.matches("ann:$argon2id$").count() == 1, "{text}");
    }

    #[test]
    fn what_is_no_user_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        assert!(matches!(Users::add(&path, "a:b", &Secret::new("12345678")), Err(UserFileError::Name(_))));
        assert!(matches!(Users::add(&path, "ann", &Secret::new("1234567")), Err(UserFileError::Short)));
        std::fs::write(&path, "# nobody\n\n").unwrap();
        assert!(matches!(Users::read(&path), Err(UserFileError::Nobody(_))));
        for bad in
            ["ann", "ann:secret", "ann:$2y$10$abc", "an n:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"]
        {
            std::fs::write(&path, format!("# one\n{bad}\n")).unwrap();
            assert!(matches!(Users::read(&path), Err(UserFileError::Line { line: 2, .. })), "{bad}");
        }
    }
}
