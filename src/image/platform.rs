//! Platforms: `os/arch[/variant][:os version]`, normalised and matched as Docker and containerd do.
//!
//! A variant falls back to the lower ones of its own architecture (arm/v7 runs v6 and v5; amd64/v3 runs v2).
//! Another architecture is never taken for the one asked for, although containerd would run 386 on amd64: a wrong
//! image is told here, not behind the air gap.
//!
//! Windows runs images of its own version only, so there an index has one for each. A version is matched by whole
//! parts from its start: `10.0.17763` is served by `10.0.17763.1234`, whose last part is a patch level.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::json::Shape;
use crate::foreign::shown;

/// The keys of a platform.
pub(super) const PLATFORM: Shape = Shape::Object(&[
    ("os", &Shape::Any),
    ("architecture", &Shape::Any),
    ("variant", &Shape::Any),
    ("os.version", &Shape::Any),
]);

/// What an image is built for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The operating system, as Go names it (`linux`).
    #[serde(default)]
    pub os: String,
    /// The architecture, as Go names it (`amd64`).
    #[serde(default)]
    pub architecture: String,
    /// The architecture's variant (`v7`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of Windows the image is for.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

/// Why a string is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no platform")]
pub struct PlatformError(pub String);

impl Platform {
    /// What is pulled when nothing is asked for.
    pub fn linux_amd64() -> Self {
        Self::linux("amd64")
    }

    /// `linux/<architecture>`, for `--arch`; the architecture may carry a variant or another name (`arm/v7`,
    /// `x86_64`), or an os (`linux/amd64`).
    pub fn of_architecture(text: &str) -> Result<Self, PlatformError> {
        match text.parse::<Self>() {
            Ok(platform) if is_known_os(&platform.os) => Ok(platform),
            _ => format!("linux/{text}").parse().map_err(|_| PlatformError(text.to_owned())),
        }
    }

    fn linux(architecture: &str) -> Self {
        Self { os: "linux".into(), architecture: architecture.into(), variant: None, os_version: None }
    }

    /// The same platform under its usual names: `x86_64` is `amd64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`.
    #[must_use]
    pub fn normalised(&self) -> Self {
        let architecture = self.architecture.to_ascii_lowercase();
        let variant =
            self.variant.as_deref().map(str::to_ascii_lowercase).filter(|variant| !variant.is_empty());
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64", _) => ("amd64", variant),
            ("i386" | "i486" | "i586" | "i686", _) => ("386", None),
            ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
            ("aarch64", _) => ("arm64", variant),
            ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7".to_owned())),
            ("armel", _) => ("arm", Some("v6".to_owned())),
            ("arm", Some(number @ ("5" | "6" | "8"))) => ("arm", Some(format!("v{number}"))),
            (other, _) => (other, variant.clone()),
        };
        let os = match self.os.to_ascii_lowercase() {
            os if os == "macos" => "darwin".to_owned(),
            os => os,
        };
        let os_version = self.os_version.clone().filter(|version| !version.is_empty());
        Self { os, architecture: architecture.to_owned(), variant, os_version }
    }

    /// How well an image for `offered` serves a machine of this platform: 0 is exact, higher is an older
    /// variant, `None` is not at all. Without an os version any will do.
    pub fn distance_to(&self, offered: &Self) -> Option<u32> {
        let (wanted, offered) = (self.normalised(), offered.normalised());
        if wanted.os != offered.os || wanted.architecture != offered.architecture {
            return None;
        }
        if !wanted.is_served_by_version_of(&offered) {
            return None;
        }
        if wanted.variant == offered.variant {
            return Some(0);
        }
        let distance = wanted.variant_level()?.checked_sub(offered.variant_level()?)?;
        (distance > 0).then_some(distance)
    }

    /// The same platform of any os version.
    #[must_use]
    pub fn without_os_version(&self) -> Self {
        Self { os_version: None, ..self.clone() }
    }

    /// Which of two is for the higher os version, by the numbers between its dots; none is the lowest.
    pub fn cmp_os_version(&self, other: &Self) -> Ordering {
        let numbers = |platform: &Self| -> Option<Vec<Option<u64>>> {
            let version = platform.os_version.as_deref()?;
            Some(version.split('.').map(|number| number.parse().ok()).collect())
        };
        numbers(self).cmp(&numbers(other))
    }

    fn is_served_by_version_of(&self, offered: &Self) -> bool {
        match (&self.os_version, &offered.os_version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(offered)) => offered
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        }
    }

    /// The variant as a number that grows with what the machine can do; none for variants that have no order.
    fn variant_level(&self) -> Option<u32> {
        let default = match self.architecture.as_str() {
            "amd64" => "v1",
            "arm64" => "v8",
            _ => "",
        };
        let digits = self.variant.as_deref().unwrap_or(default).strip_prefix('v')?;
        let (major, minor) = digits.split_once('.').unwrap_or((digits, "0"));
        let major = major.parse::<u32>().ok()?.checked_mul(100)?;
        major.checked_add(minor.parse::<u32>().ok()?.min(99))
    }
}

fn is_known_os(os: &str) -> bool {
    matches!(
        os,
        "linux"
            | "windows"
            | "darwin"
            | "freebsd"
            | "netbsd"
            | "openbsd"
            | "dragonfly"
            | "solaris"
            | "illumos"
            | "aix"
            | "android"
            | "plan9"
            | "wasip1"
            | "js"
    )
}

impl fmt::Display for Platform {
    /// `os/arch[/variant][:os version]`, as it is read.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", shown(&self.os), shown(&self.architecture))?;
        if let Some(variant) = &self.variant {
            write!(formatter, "/{}", shown(variant))?;
        }
        match &self.os_version {
            Some(version) => write!(formatter, ":{}", shown(version)),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `os/arch[/variant][:os version]`, and containerd's `os(os version)/arch[/variant]`.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.to_owned());
        let (name, mut os_version) = match text.split_once(':') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let mut parts: Vec<&str> = name.split('/').collect();
        if let Some((os, version)) = parts[0].strip_suffix(')').and_then(|os| os.split_once('(')) {
            if os_version.replace(version).is_some() {
                return Err(error());
            }
            parts[0] = os;
        }
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        let (2..=3, true) = (parts.len(), parts.iter().copied().chain(os_version).all(is_word)) else {
            return Err(error());
        };
        let owned = |word: &str| word.to_owned();
        let variant = parts.get(2).copied().map(owned);
        let os_version = os_version.map(owned);
        Ok(Self { os: parts[0].into(), architecture: parts[1].into(), variant, os_version }.normalised())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is shown can be typed.
        #[test]
        fn what_is_shown_reads_back(
            text in "[a-zA-Z0-9_.-]{1,9}/[a-zA-Z0-9_.-]{1,9}(/[a-z0-9.]{1,4})?(:[0-9a-z.]{1,16})?"
        ) {
            let platform: Platform = text.parse().unwrap();
            prop_assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
        }
    }

    #[test]
    fn variants_beyond_all_numbers_have_no_order() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for variant in ["v42949672.99", "v42949673", "v4294967296", "v8.4294967296"] {
            let strange = platform(&format!("linux/arm64/{variant}"));
            assert_eq!(strange.distance_to(&platform("linux/arm64")), None, "{variant}");
            assert_eq!(strange.distance_to(&strange), Some(0), "{variant}");
        }
    }

    #[test]
    fn os_versions_are_read_in_both_spellings() {
        for (text, shown) in [
            ("windows/amd64:10.0.17763", "windows/amd64:10.0.17763"),
            ("windows(10.0.17763.1234)/amd64", "windows/amd64:10.0.17763.1234"),
            ("Windows(10.0.17763)/x86_64", "windows/amd64:10.0.17763"),
            ("linux/arm/v7:6.1", "linux/arm/v7:6.1"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        }
        for bad in [
            "windows/amd64:",
            "windows()/amd64",
            "windows(10/amd64",
            "windows10)/amd64",
            "windows(10)/amd64:10",
            "windows(10+win32k)/amd64",
            "windows/amd64:10:0",
            "windows:10/amd64",
            "(10)/amd64",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn os_versions_match_by_whole_parts_from_the_start() {
        for (wanted, offered, fits) in [
            ("windows/amd64:10.0.17763", "windows/amd64:10.0.17763.1234", true),
            ("windows/amd64:10.0.17763.1234", "windows/amd64:10.0.17763.1234", true),
            ("windows/amd64:10.0.1776", "windows/amd64:10.0.17763.1234", false),
            ("windows/amd64:10.0.17763.12", "windows/amd64:10.0.17763.1234", false),
            ("windows/amd64:10.0.17763.1234", "windows/amd64:10.0.17763", false),
            ("windows/amd64:10.0.17763", "windows/amd64", false),
            ("windows/amd64", "windows/amd64:10.0.17763", true),
            ("windows/arm64:10.0.17763", "windows/amd64:10.0.17763", false),
        ] {
            assert_eq!(distance(wanted, offered).is_some(), fits, "{wanted} {offered}");
        }
    }

    #[test]
    fn os_versions_are_compared_by_their_numbers() {
        let ascending = ["x/y", "x/y:10.0.17763.999", "x/y:10.0.17763.1000", "x/y:10.0.20348", "x/y:11"]
            .map(|text| text.parse::<Platform>().unwrap());
        assert!(ascending.is_sorted_by(|lower, higher| lower.cmp_os_version(higher) == Ordering::Less));
    }

    fn distance(wanted: &str, offered: &str) -> Option<u32> {
        wanted.parse::<Platform>().unwrap().distance_to(&offered.parse().unwrap())
    }

    #[test]
    fn variants_fall_back_downwards_only() {
        assert!(distance("linux/arm/v7", "linux/arm/v6").is_some());
        assert!(distance("linux/arm/v7", "linux/arm/v6") < distance("linux/arm/v7", "linux/arm/v5"));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(distance("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(distance("linux/arm", "linux/arm/v7"), Some(0));
        assert!(distance("linux/amd64/v3", "linux/amd64").is_some());
        assert_eq!(distance("linux/amd64", "linux/amd64/v3"), None);
    }

    #[test]
    fn other_architectures_and_systems_never_match() {
        for (wanted, offered) in
            [("linux/amd64", "linux/386"), ("linux/arm64", "linux/arm/v7"), ("linux/amd64", "windows/amd64")]
        {
            assert_eq!(distance(wanted, offered), None, "{wanted} {offered}");
        }
    }

    #[test]
    fn an_architecture_alone_is_for_linux() {
        for (text, platform) in [
            ("amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("arm/v6", "linux/arm/v6"),
            ("linux/amd64", "linux/amd64"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(Platform::of_architecture(text).unwrap().to_string(), platform);
        }
        for bad in ["", "/", "a b", "linux/arm/v7/x"] {
            assert!(Platform::of_architecture(bad).is_err(), "{bad}");
        }
    }
}
