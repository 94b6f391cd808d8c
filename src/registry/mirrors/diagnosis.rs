//! How each place of a registry is reached from here, in the order in which they are asked.

use super::Mirrored;
use super::route::Place;
use crate::image::Registry;
use crate::registry::doctor::Diagnosis;
use crate::registry::error::RegistryError;

/// What was found of a registry's mirrors and of the registry itself.
#[derive(Debug)]
pub struct PlaceDiagnoses {
    /// The mirrors as they are configured, in the order in which they are asked.
    pub mirrors: Vec<(String, Diagnosis)>,
    /// The registry itself; none if it is never asked.
    pub origin: Option<Diagnosis>,
}

impl Mirrored {
    /// Tries everything a pull needs of `registry` and its mirrors but an image.
    pub async fn diagnose(&self, registry: &Registry) -> Result<PlaceDiagnoses, RegistryError> {
        let Some(route) = self.routes.get(registry) else {
            let origin = Some(self.client.diagnose(registry, "").await?);
            return Ok(PlaceDiagnoses { mirrors: vec![], origin });
        };
        let mut found = PlaceDiagnoses { mirrors: vec![], origin: None };
        for place in route.ranked().await {
            if let Some(mirror) = &place.mirror {
                let diagnosis = place.client.diagnose(mirror.registry(), mirror.namespace()).await?;
                found.mirrors.push((place.name.clone(), diagnosis));
            }
        }
        let is_asked = route.tags.is_some() || route.places.iter().any(Place::is_origin);
        if is_asked {
            found.origin = Some(self.client.diagnose(registry, "").await?);
        }
        Ok(found)
    }
}
