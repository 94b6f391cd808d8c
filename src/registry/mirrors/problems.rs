//! Why none of the places that may have something gave it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::registry::error::RegistryError;
use crate::registry::kind::Kind;
use crate::registry::object::Object;
use crate::registry::retry::Retry;

/// What each mirror said, and the registry itself, as the cause of an error.
#[derive(Debug, Default)]
pub struct PlaceProblems(Vec<PlaceProblem>);

#[derive(Debug)]
struct PlaceProblem {
    name: String,
    is_origin: bool,
    error: RegistryError,
}

impl PlaceProblems {
    pub(super) fn push(&mut self, name: &str, is_origin: bool, error: RegistryError) {
        self.0.push(PlaceProblem { name: name.to_owned(), is_origin, error });
    }

    /// The error of them all. The only one of a registry without mirrors is that error itself; and if a range is what
    /// stands in the way, whoever asked should know: all of the blob may be had.
    pub(super) fn into_error(mut self, object: Object) -> RegistryError {
        let is_range = |problem: &PlaceProblem| problem.error.is_of_ranges();
        if let Some(at) = self.0.iter().position(is_range) {
            return self.0.swap_remove(at).error;
        }
        match self.0.pop() {
            Some(last) if self.0.is_empty() && last.is_origin => last.error,
            last => {
                self.0.extend(last);
                RegistryError::NoPlace { object: Box::new(object), problems: self }
            }
        }
    }

    /// The registry's own word, or else that of the last mirror; none if nobody was asked.
    pub fn decisive(&self) -> Option<&RegistryError> {
        let problem = self.0.iter().find(|problem| problem.is_origin).or(self.0.last());
        problem.map(|problem| &problem.error)
    }

    /// Mirrors that lied are asked nothing more: then nobody may be left.
    pub(in crate::registry) fn kind(&self) -> Kind {
        self.decisive().map_or(Kind::Integrity, RegistryError::kind)
    }

    /// Worth it if it is for one of them, unless the registry itself said that there is nothing.
    pub(in crate::registry) fn retry(&self) -> Retry {
        let is_decided = |problem: &PlaceProblem| {
            problem.is_origin && matches!(problem.error.kind(), Kind::NotFound | Kind::Access)
        };
        if self.0.iter().any(is_decided) {
            return Retry::Never;
        }
        let worth = self.0.iter().map(|problem| problem.error.retry()).filter(|retry| *retry != Retry::Never);
        let wait = |retry: &Retry| if let Retry::After(wait) = retry { *wait } else { Duration::ZERO };
        worth.min_by_key(wait).unwrap_or(Retry::Never)
    }
}

impl fmt::Display for PlaceProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter
                .write_str("its mirrors sent wrong bytes, and the registry itself is never asked");
        }
        let texts: Vec<String> =
            self.0.iter().map(|PlaceProblem { name, error, .. }| format!("{name}: {error}")).collect();
        formatter.write_str(&texts.join("; "))
    }
}

impl Error for PlaceProblems {
    /// That of the only one: of several it would not be clear whose it is.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.0.as_slice() {
            [only] => only.error.source(),
            _ => None,
        }
    }
}
