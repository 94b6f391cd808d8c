//! How many files a process may have open: most systems say 1,024, and let it be more.

/// Files that are open besides those that are counted.
#[cfg(unix)]
const OTHERS: u64 = 64;

/// Lets this process have so many files open at once, as far as the system does. If that is too few, the first one that
/// can't be opened tells.
pub fn allow_open_files(count: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let wanted = (count as u64).saturating_add(OTHERS);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_some_and(|current| current < wanted) {
            let current = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
            let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
        }
    }
    #[cfg(not(unix))]
    let _ = count;
}
