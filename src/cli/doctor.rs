//! `sealift doctor`.

use clap::Args;
use sealift::config::{MirrorOrder, OriginUse, RegistryName, RegistrySettings, TagAuthority};
use sealift::event::SharedReporter;
use sealift::registry::RootsOrigin;
use sealift::registry::doctor::{Diagnosis, StepName};
use serde::Serialize;

use super::connection::ConnectionArguments;
use super::report::Failure;
use super::{Context, registry_argument, ui};

/// Show how a registry is reached from here, and what stands in the way
///
/// Which proxy, credentials, CA roots and client certificate are used, and whether name, connection, TLS, API and login
/// work; of each mirror as well, in the order in which they are asked. No secret is shown. The exit code is that of the first
/// step that fails; with mirrors, one place that works is enough.
#[derive(Args)]
pub(super) struct Arguments {
    /// The registry
    #[arg(value_name = "REGISTRY")]
    registry: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let registry = registry_argument::parse(&arguments.registry)?;
    let source = arguments.connection.source_of(
        std::slice::from_ref(&registry),
        &context,
        &SharedReporter::default(),
    )?;
    let found = source.diagnose(&registry).await?;
    let mut failures = Vec::new();
    let mut reported = |diagnosis| {
        let (place, failure) = Place::of(diagnosis);
        failures.push(failure);
        place
    };
    let mirrors: Vec<Mirror> = found
        .mirrors
        .into_iter()
        .map(|(mirror, diagnosis)| Mirror { mirror, place: reported(diagnosis) })
        .collect();
    let settings = context.config.registries.get(&RegistryName(registry.clone()));
    let report = Report {
        registry: registry.to_string(),
        itself: found.origin.map(reported),
        settings: settings.filter(|_| !mirrors.is_empty()).map(Asking::of),
        mirrors,
    };
    if arguments.json {
        ui::json(&report)?;
    } else {
        report.lines().iter().try_for_each(|line| ui::data(line))?;
    }
    // One place that works is enough for a pull, if tags need not be told by the registry itself: it is the last.
    let is_enough = failures.iter().any(Option::is_none) && !report.needs_itself();
    failures.pop().flatten().filter(|_| !is_enough).map_or(Ok(()), Err)
}

/// What was found, in words.
#[derive(Serialize)]
struct Report {
    registry: String,
    /// None if only mirrors are asked.
    #[serde(flatten)]
    itself: Option<Place>,
    #[serde(flatten)]
    settings: Option<Asking>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<Mirror>,
}

/// Who is asked, and when.
#[derive(Serialize)]
struct Asking {
    order: MirrorOrder,
    origin: OriginUse,
    verify_tag: TagAuthority,
}

impl Asking {
    fn of(settings: &RegistrySettings) -> Self {
        let RegistrySettings { order, origin, verify_tag, .. } = *settings;
        Self { order, origin, verify_tag }
    }
}

#[derive(Serialize)]
struct Mirror {
    mirror: String,
    #[serde(flatten)]
    place: Place,
}

/// A registry or a mirror, and how it is reached.
#[derive(Serialize)]
struct Place {
    base: String,
    proxy: Option<String>,
    credentials: Option<String>,
    missing_helper: Option<String>,
    tls_roots: Option<&'static str>,
    certs_folder: Option<String>,
    client_certificate: Option<String>,
    insecure: bool,
    steps: Vec<ReportedStep>,
}

#[derive(Serialize)]
struct ReportedStep {
    step: &'static str,
    ok: bool,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Report {
    /// True if nothing can be pulled by a tag without the registry itself.
    fn needs_itself(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.verify_tag == TagAuthority::Origin)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("registry            {}", self.registry)];
        let Some(Asking { order, origin, .. }) = &self.settings else {
            lines.extend(self.itself.iter().flat_map(|place| place.lines(false)));
            return lines;
        };
        let names = self.mirrors.iter().map(|mirror| mirror.mirror.as_str());
        let names = names.chain((*origin == OriginUse::Last).then_some("the registry itself"));
        let fastest = if *order == MirrorOrder::Fastest { " (the fastest first)" } else { "" };
        lines.push(format!("asked in this order {}{fastest}", names.collect::<Vec<_>>().join(", then ")));
        let tags = if self.needs_itself() { "the registry itself" } else { "whoever is asked first" };
        lines.push(format!("tags are told by    {tags}"));
        for Mirror { mirror, place } in &self.mirrors {
            lines.extend([String::new(), format!("mirror              {mirror}")]);
            lines.extend(place.lines(true));
        }
        if let Some(place) = &self.itself {
            lines.extend([String::new(), "the registry itself".to_owned()]);
            lines.extend(place.lines(true));
        }
        lines
    }
}

impl Place {
    /// And the failure of the last step, if it failed.
    fn of(mut diagnosis: Diagnosis) -> (Self, Option<Failure>) {
        let last = diagnosis.steps.pop_if(|step| step.outcome.is_err());
        let failed = last.and_then(|step| Some((step.name, Failure::from(step.outcome.err()?))));
        let tls = diagnosis.tls.as_ref();
        let went_well = diagnosis.steps.iter().filter_map(|step| {
            let result = step.outcome.as_ref().ok()?.clone();
            Some(ReportedStep { step: word(step.name), ok: true, result, hint: None })
        });
        let failed_step = failed.as_ref().map(|(name, failure)| ReportedStep {
            step: word(*name),
            ok: false,
            result: failure.to_string(),
            hint: failure.hint(),
        });
        let host = tls.and_then(|tls| tls.host.as_ref());
        let place = Self {
            base: diagnosis.base.to_string(),
            proxy: diagnosis.proxy.as_ref().map(ToString::to_string),
            credentials: diagnosis.credentials.as_ref().map(ToString::to_string),
            missing_helper: diagnosis.missing_helper.clone(),
            tls_roots: tls.map(|tls| match tls.roots {
                RootsOrigin::System => "the system's",
                RootsOrigin::Bundled => "built in",
            }),
            certs_folder: host.map(|host| host.folder.display().to_string()),
            client_certificate: tls
                .and_then(|tls| Some(tls.client.as_ref()?.certificate.display().to_string())),
            insecure: tls.is_some_and(|tls| tls.insecure),
            steps: went_well.chain(failed_step).collect(),
        };
        (place, failed.map(|(_, failure)| failure))
    }

    /// `with_hints` where the failure is not the command's.
    fn lines(&self, with_hints: bool) -> Vec<String> {
        let none = || "none".to_owned();
        let helper = self.missing_helper.as_ref();
        let helper = helper.map(|helper| format!(" (`docker-credential-{helper}` is not installed)"));
        let credentials = self.credentials.clone().unwrap_or_else(none) + &helper.unwrap_or_default();
        let mut lines = vec![
            format!("API                 {}", self.base),
            format!("proxy               {}", self.proxy.clone().unwrap_or_else(none)),
            format!("credentials         {credentials}"),
            format!("CA roots            {}", self.roots()),
            format!("client certificate  {}", self.client_certificate.clone().unwrap_or_else(none)),
            String::new(),
        ];
        for ReportedStep { step, ok, result, hint } in &self.steps {
            lines.push(format!("{:<4}{step:<12}{result}", if *ok { "ok" } else { "no" }));
            lines.extend(hint.as_ref().filter(|_| with_hints).map(|hint| format!("{:16}hint: {hint}", "")));
        }
        lines
    }

    fn roots(&self) -> String {
        if self.insecure {
            return "any: this host was declared insecure".to_owned();
        }
        let own = self.tls_roots.unwrap_or("not read");
        match &self.certs_folder {
            Some(folder) => format!("{own}, and those in {folder}"),
            None => own.to_owned(),
        }
    }
}

fn word(name: StepName) -> &'static str {
    match name {
        StepName::Settings => "settings",
        StepName::Name => "name",
        StepName::Connection => "connection",
        StepName::Tls => "TLS",
        StepName::Api => "API",
        StepName::Login => "login",
    }
}
