//! The commands that look at the classes of a database: `schema` holds them against a file, `types` and `openapi`
//! make things for clients out of them. They open the application as a server does, and listen to nobody; they may
//! run beside one (with a database of its own only while that is stopped, since it serves one process).

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{Running, StartError, storage};
use crate::clients::{self, Language};
use crate::config::cli::{Command, SchemaTask};
use crate::config::{AppConfig, DefinedSchemas};
use crate::logging::Presence;
use crate::operations::admin::defined::file::{self, Plan, PlannedClass};
use crate::operations::admin::defined::plan::{Permissions, Step};
use crate::operations::gate;
use crate::outbound::Settings;
use crate::rest::internal::Workers;
use crate::rest::routers::openapi;
use crate::rest::routes::ROUTES;
use crate::types::Object;

/// Does what the command says. `Ok(false)`: something differs, or was not done.
///
/// # Errors
/// When database, code or file cannot be used.
pub fn describe(mut config: AppConfig, command: &Command) -> Result<bool, StartError> {
    crate::tls::install_provider();
    let defined = config.schema.defined.take();
    config.http.server_close_complete = None;
    if matches!(command, Command::Schema { .. }) {
        // Nothing of it is called.
        config.cloud.cloud = None;
        config.cloud.config_file = None;
    }
    actix_web::rt::System::new().block_on(async {
        let running = open(config).await?;
        let outcome = run(&running, command, defined).await;
        running.stop().await;
        outcome
    })
}

async fn open(config: AppConfig) -> Result<Running, StartError> {
    let config = Arc::new(config);
    let database = storage::open(&config, 1).await?;
    let workers = Workers::default();
    // Code may call the server while it is loaded.
    workers.join();
    database.adapter.register_thread();
    Running::start(config, database, &workers, Presence::new(), (Settings::default(), None)).await
}

async fn run(
    running: &Running,
    command: &Command,
    defined: Option<DefinedSchemas>,
) -> Result<bool, StartError> {
    let services = &running.app.services;
    match command {
        Command::Schema { task: SchemaTask::Pull, file, .. } => {
            let pulled = file::pull(&gate::own_work(services)).await.map_err(StartError::new)?;
            write_json(file.as_deref(), &pulled)?;
            Ok(true)
        }
        Command::Schema { task, file, yes } => {
            let (options, manner) = match (file, defined) {
                (Some(file), _) => (read(file)?, Permissions::AsGiven),
                (None, Some(defined)) => (defined, Permissions::Closed),
                (None, None) => {
                    let message =
                        "There is nothing to hold the classes against. Give --file, or set option schema.";
                    return Err(StartError::new(message));
                }
            };
            schema(running, *task, &options, manner, *yes).await
        }
        Command::Types { lang, out } => {
            running.cloud.ready().await?;
            let language = Language::parse(lang)
                .ok_or_else(|| StartError::new(format!("There are no types for {lang}.")))?;
            let model = openapi::model(services).await.map_err(StartError::new)?;
            write(out.as_deref(), &clients::types(&model, language))?;
            Ok(true)
        }
        Command::OpenApi { out } => {
            running.cloud.ready().await?;
            let document = openapi::describe(services, &ROUTES).await.map_err(StartError::new)?;
            write_json(out.as_deref(), &document)?;
            Ok(true)
        }
        _ => Ok(true),
    }
}

fn read(path: &Path) -> Result<DefinedSchemas, StartError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| StartError::new(format!("{shown} cannot be read: {error}.")))?;
    let content: Value = serde_json::from_str(&text)
        .or_else(|_| json5::from_str(&text))
        .map_err(|error| StartError::new(format!("{shown} is not valid JSON or JSON5: {error}.")))?;
    DefinedSchemas::of_file(content).map_err(|error| StartError::new(format!("{shown}: {error}")))
}

fn write_json(path: Option<&Path>, value: &Value) -> Result<(), StartError> {
    let text = serde_json::to_string_pretty(value).map_err(StartError::new)?;
    write(path, &format!("{text}\n"))
}

fn write(path: Option<&Path>, text: &str) -> Result<(), StartError> {
    match path {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| StartError::new(format!("{} cannot be written: {error}.", path.display()))),
        // A reader that has seen enough is no error of ours.
        None => match std::io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(StartError::new(error)),
            _ => Ok(()),
        },
    }
}

async fn schema(
    running: &Running,
    task: SchemaTask,
    options: &DefinedSchemas,
    manner: Permissions,
    yes: bool,
) -> Result<bool, StartError> {
    let services = &running.app.services;
    let ctx = gate::own_work(services);
    let turn = match task {
        SchemaTask::Apply => services.storage.migration_turn().await.map_err(StartError::new)?,
        _ => None,
    };
    let plan = file::of(&ctx, options, manner).await.map_err(StartError::new)?;
    for warning in plan.classes.iter().flat_map(|class| &class.plan.warnings) {
        eprintln!("WARNING: {warning}");
    }
    let changes = plan.classes.iter().filter(|class| !class.plan.steps.is_empty()).count();
    let outcome = match task {
        SchemaTask::Diff => Ok(print_differences(&plan)),
        SchemaTask::Plan => {
            print_statements(&plan);
            Ok(true)
        }
        _ if changes == 0 => {
            println!("Nothing is to be done.");
            Ok(true)
        }
        _ if !yes && !may_lose(&plan)? => {
            println!("Nothing was done.");
            Ok(false)
        }
        _ => {
            let mut tell = |class: &str| println!("{class}: done");
            file::apply(&ctx, &plan, &mut tell).await.map_err(StartError::new).map(|()| true)
        }
    };
    drop(turn);
    outcome
}

/// Prints what differs; whether nothing does.
fn print_differences(plan: &Plan) -> bool {
    let mut same = true;
    for class in &plan.classes {
        let PlannedClass { plan, is_new, .. } = class;
        if plan.steps.is_empty() && plan.kept_fields.is_empty() && plan.extra_fields.is_empty() {
            continue;
        }
        same = false;
        println!("{} {}", if *is_new { "+" } else { "~" }, plan.class);
        for step in &plan.steps {
            let (Step::Create(body) | Step::Update(body)) = step;
            print_entries(body, "fields", "");
            print_entries(body, "indexes", "index ");
            if let Some(permissions) = body.get("classLevelPermissions") {
                println!("  ~ permissions {permissions}");
            }
        }
        for field in &plan.kept_fields {
            println!("  ! {field} is of another type here; recreateModifiedFields would replace it");
        }
        for field in &plan.extra_fields {
            println!("  ! {field} is not defined; deleteExtraFields would remove it");
        }
    }
    for class in &plan.unnamed {
        println!("  {class} is not defined, and stays");
    }
    if same {
        println!("Nothing differs.");
    }
    same
}

fn print_entries(body: &Object, key: &str, what: &str) {
    for (name, entry) in body.get(key).and_then(Value::as_object).into_iter().flatten() {
        match entry.get("__op") {
            Some(_) => println!("  - {what}{name}"),
            None => println!("  + {what}{name} {entry}"),
        }
    }
}

fn print_statements(plan: &Plan) {
    let mut none = true;
    for class in plan.classes.iter().filter(|class| !class.statements.is_empty()) {
        none = false;
        println!("-- {}", class.plan.class);
        for statement in &class.statements {
            println!("{};\n--   {}", statement.text, statement.effect.words());
        }
        if class.loses_data() {
            let fields = class.plan.lost_fields.join(", ");
            println!("--   {} objects lose {fields}", class.objects);
        }
    }
    if none {
        println!("Nothing is to be done.");
    }
}

/// Asks, where data would be lost, whoever sits there.
fn may_lose(plan: &Plan) -> Result<bool, StartError> {
    let losing: Vec<&PlannedClass> = plan.classes.iter().filter(|class| class.loses_data()).collect();
    if losing.is_empty() {
        return Ok(true);
    }
    for class in &losing {
        println!(
            "{} objects of {} lose {}",
            class.objects,
            class.plan.class,
            class.plan.lost_fields.join(", ")
        );
    }
    if !std::io::stdin().is_terminal() {
        println!("Data would be lost: give --yes.");
        return Ok(false);
    }
    print!("Data will be lost. Write yes to go on: ");
    std::io::stdout().flush().map_err(StartError::new)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(StartError::new)?;
    Ok(answer.trim() == "yes")
}
