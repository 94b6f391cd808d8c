//! `sealift doctor`.

use clap::Args;
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
/// work. No secret is shown. The exit code is that of the first step that fails.
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
    let client = arguments.connection.client_of(
        std::slice::from_ref(&registry),
        &context,
        &SharedReporter::default(),
    )?;
    let mut diagnosis = client.diagnose(&registry).await?;
    let last = diagnosis.steps.pop_if(|step| step.outcome.is_err());
    let failed = last.and_then(|step| Some((step.name, Failure::from(step.outcome.err()?))));
    let report = Report::of(&diagnosis, failed.as_ref());
    if arguments.json {
        ui::json(&report)?;
    } else {
        report.lines().iter().try_for_each(|line| ui::data(line))?;
    }
    failed.map_or(Ok(()), |(_, failure)| Err(failure))
}

/// A diagnosis in words.
#[derive(Serialize)]
struct Report {
    registry: String,
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
    fn of(diagnosis: &Diagnosis, failed: Option<&(StepName, Failure)>) -> Self {
        let tls = diagnosis.tls.as_ref();
        let went_well = diagnosis.steps.iter().filter_map(|step| {
            let result = step.outcome.as_ref().ok()?.clone();
            Some(ReportedStep { step: word(step.name), ok: true, result, hint: None })
        });
        let failed = failed.map(|(name, failure)| ReportedStep {
            step: word(*name),
            ok: false,
            result: failure.to_string(),
            hint: failure.hint(),
        });
        let host = tls.and_then(|tls| tls.host.as_ref());
        Self {
            registry: diagnosis.registry.to_string(),
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
            steps: went_well.chain(failed).collect(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let none = || "none".to_owned();
        let helper = self.missing_helper.as_ref();
        let helper = helper.map(|helper| format!(" (`docker-credential-{helper}` is not installed)"));
        let credentials = self.credentials.clone().unwrap_or_else(none) + &helper.unwrap_or_default();
        let mut lines = vec![
            format!("registry            {}", self.registry),
            format!("API                 {}", self.base),
            format!("proxy               {}", self.proxy.clone().unwrap_or_else(none)),
            format!("credentials         {credentials}"),
            format!("CA roots            {}", self.roots()),
            format!("client certificate  {}", self.client_certificate.clone().unwrap_or_else(none)),
            String::new(),
        ];
        lines.extend(
            self.steps.iter().map(|step| {
                format!("{:<4}{:<12}{}", if step.ok { "ok" } else { "no" }, step.step, step.result)
            }),
        );
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
