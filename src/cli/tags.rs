//! `sealift tags`.

use clap::Args;
use sealift::event::SharedReporter;
use sealift::image::Reference;
use serde_json::json;

use super::Context;
use super::connection::ConnectionArguments;
use super::report::Failure;
use super::ui;

/// List the tags of a repository, a line for each, in the registry's order
#[derive(Args)]
pub(super) struct Arguments {
    /// The repository: `busybox`, `quay.io/org/app`, `host:5000/name`
    #[arg(value_name = "REPOSITORY")]
    repository: String,
    /// Stop after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let reference: Reference = arguments.repository.parse()?;
    // Without a tag it is `latest`.
    let has_tag = reference.tag().is_some_and(|tag| arguments.repository.ends_with(&format!(":{tag}")));
    if has_tag || reference.digest().is_some() {
        return Err(Failure::Usage("tags are listed of a repository: leave tag and digest out"));
    }
    let repository = reference.repository();
    let silent = SharedReporter::default();
    let source = arguments.connection.source(std::slice::from_ref(&reference), &context, &silent)?;
    let limit = arguments.limit.and_then(|limit| usize::try_from(limit).ok());
    let tags = source.tags(repository, limit).await?;
    if arguments.json {
        return ui::json(&json!({"repository": repository.to_string(), "tags": tags}));
    }
    if tags.is_empty() {
        ui::talk(&format!("{repository} has no tags"));
        return Ok(());
    }
    ui::data(&tags.join("\n"))
}
