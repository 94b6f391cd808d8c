//! Twenty images as one team has them: three bases, a few common layers, and a layer of each one's own.

use serde_json::to_vec;

use super::by_hand::{OCI, config, push};
use super::{Image, TAG};
use crate::layer::LayerBuilder;

const REPOSITORIES: [&str; 20] = [
    "e2e/fleet/ship-01",
    "e2e/fleet/ship-02",
    "e2e/fleet/ship-03",
    "e2e/fleet/ship-04",
    "e2e/fleet/ship-05",
    "e2e/fleet/ship-06",
    "e2e/fleet/ship-07",
    "e2e/fleet/ship-08",
    "e2e/fleet/ship-09",
    "e2e/fleet/ship-10",
    "e2e/fleet/ship-11",
    "e2e/fleet/ship-12",
    "e2e/fleet/ship-13",
    "e2e/fleet/ship-14",
    "e2e/fleet/ship-15",
    "e2e/fleet/ship-16",
    "e2e/fleet/ship-17",
    "e2e/fleet/ship-18",
    "e2e/fleet/ship-19",
    "e2e/fleet/ship-20",
];

pub(super) fn push_fleet() -> Vec<Image> {
    let bases = [1, 2, 3].map(|base| LayerBuilder::busybox(&format!("fleet base {base}")).gzip());
    let common =
        [1, 2, 3, 4].map(|team| LayerBuilder::new().file("team", 0o644, &[b'0' + team; 3000]).gzip());
    let ships = REPOSITORIES.iter().enumerate().map(|(number, repository)| {
        let own = LayerBuilder::new().file("says", 0o644, repository.as_bytes()).gzip();
        let layers = [bases[number % 3].clone(), common[number / 5].clone(), own];
        let config = to_vec(&config("amd64", &layers, &["/bin/cat", "/says"])).unwrap();
        push(&OCI, repository, Some(TAG), &config, &layers);
        Image::new(repository, *repository)
    });
    ships.collect()
}
