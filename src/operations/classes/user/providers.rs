//! Which provider answers to a name: those of [`crate::auth`], and adapters that an application wrote
//! in JavaScript, which run in its Cloud Code process.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::auth::{AuthProvider, AuthRequest, Callbacks, Policy, Step, Verdict, incomplete};
use crate::cloud::{self, AdapterArg, AdapterCall, AdapterInfo, TriggerCall, TriggerKind};
use crate::config::CallbackId;
use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::types::Object;

/// The provider of this name; `None` when the app knows none, or switched it off.
pub fn provider(ctx: &Ctx, name: &str) -> Option<Arc<dyn AuthProvider>> {
    let providers = &ctx.services.auth;
    if !providers.is_enabled(name) {
        return None;
    }
    let adapter = format!("auth.{name}");
    let built_in = providers.get(name);
    let registrations = ctx.services.cloud.registrations();
    let Some(info) = registrations.adapter(&adapter) else { return built_in.cloned() };
    let code = || Custom { ctx: ctx.clone(), adapter, name: name.to_owned(), info: info.clone() };
    match built_in {
        // Settings of a built-in provider may hold functions too (`sendSMS`): that makes no adapter of them.
        Some(own) if !validates(info) && !replaces(info) => Some(own.clone()),
        Some(own) if !validates(info) => Some(Arc::new(Extended { own: own.clone(), code: code() })),
        _ => Some(Arc::new(code())),
    }
}

/// Methods that may stand in for those of a built-in provider without making it another.
const REPLACED: [&str; 3] = ["validateAppId", "policy", "challenge"];

fn replaces(info: &AdapterInfo) -> bool {
    REPLACED.iter().any(|method| info.methods.contains(*method))
}

fn validates(info: &AdapterInfo) -> bool {
    ["validateAuthData", "validateSetUp", "validateLogin", "validateUpdate"]
        .iter()
        .any(|method| info.methods.contains(*method))
}

/// Functions of the configuration, through the Cloud Code process.
pub struct CloudCallbacks<'a>(pub &'a Ctx);

#[async_trait(?Send)]
impl Callbacks for CloudCallbacks<'_> {
    async fn call(&self, id: CallbackId, args: Vec<Value>) -> Result<Value> {
        let id = u32::try_from(id.0).map_err(Error::internal)?;
        let args = args.into_iter().map(AdapterArg::Json).collect();
        self.0.services.cloud.call_callback(cloud::CallbackId(id), args).await
    }
}

/// What the Cloud Code process makes of an error that is none.
const SAID_NOTHING: &str = "Script failed. Unknown error.";

/// An adapter of the application.
struct Custom {
    ctx: Ctx,
    /// As the engine knows it: `auth.<name>`.
    adapter: String,
    name: String,
    info: AdapterInfo,
}

impl Custom {
    fn has(&self, method: &str) -> bool {
        self.info.methods.contains(method)
    }

    async fn call(&self, method: &str, args: Vec<AdapterArg>) -> Result<Value> {
        let call =
            AdapterCall { adapter: self.adapter.clone(), method: method.to_owned(), args, deadline: None };
        let answered = self.ctx.services.cloud.call_adapter(call).await;
        answered.map_err(|error| match error {
            Error::Parse { code, message } if message == SAID_NOTHING => {
                let what = if method == "challenge" { "Challenge" } else { "Auth" };
                Error::parse(code, format!("{what} failed. Unknown error."))
            }
            other => other,
        })
    }

    /// Whether the data was made for one of the apps that the settings name.
    async fn check_app(&self, data: &Value, request: &AuthRequest<'_>) -> Result<()> {
        let settings = self.ctx.services.auth.settings(&self.name);
        let app_ids = settings.and_then(|settings| settings.get("appIds")).filter(|ids| !ids.is_null());
        if let Some(ids) = app_ids.filter(|_| self.has("validateAppId")) {
            let args = vec![
                AdapterArg::Json(ids.clone()),
                AdapterArg::Json(data.clone()),
                AdapterArg::Options,
                self.request(request, None),
            ];
            self.call("validateAppId", args).await?;
        }
        Ok(())
    }

    /// The trigger-like object adapters are given. `step`: the method of three that is called.
    fn request(&self, request: &AuthRequest<'_>, step: Option<Step>) -> AdapterArg {
        let mut call = TriggerCall::new(TriggerKind::BeforeSave, "_User");
        call.object_id = request.original.and_then(|user| user.get("objectId")?.as_str().map(str::to_owned));
        call.original = request.original.map(|user| Value::Object(public(user)).into());
        // Where nobody is known, nobody is challenged.
        if !request.is_challenge || request.original.is_some() {
            call.object = Some(Value::Object(public(request.object)).into());
        }
        if let Some(step) = step {
            call.extra.insert("triggerName".into(), step.method().into());
        }
        if request.is_challenge {
            call.extra.insert("isChallenge".into(), true.into());
        }
        call.caller = self.ctx.caller();
        call.scope = self.ctx.scope();
        AdapterArg::Request(Box::new(call))
    }
}

/// An adapter proves who somebody is; it needs no hash of the password and no token of a mail.
fn public(object: &Object) -> Object {
    let fields = object.iter().filter(|(key, _)| !key.starts_with('_'));
    fields.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[async_trait(?Send)]
impl AuthProvider for Custom {
    async fn before_find(&self, data: &mut Object) -> Result<()> {
        if !self.has("beforeFind") {
            return Ok(());
        }
        let answer = self.call("beforeFind", vec![AdapterArg::Json(Value::Object(data.clone()))]).await?;
        if let Value::Object(changed) = answer {
            *data = changed;
        }
        Ok(())
    }

    async fn validate(&self, step: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        let given = || AdapterArg::Json(data.clone());
        self.check_app(data, request).await?;
        if let Some(Value::String(policy)) = self.info.properties.get("policy") {
            Policy::named(policy)?;
        }
        let step = match self.has("validateAuthData") {
            true => None,
            false if [Step::SetUp, Step::Login, Step::Update].iter().all(|s| self.has(s.method())) => {
                Some(step)
            }
            false => return Err(incomplete()),
        };
        let method = step.map_or("validateAuthData", Step::method);
        let answer =
            self.call(method, vec![given(), AdapterArg::Options, self.request(request, step)]).await?;
        let given = |key: &str| answer.get(key).filter(|value| crate::types::javascript::is_truthy(value));
        Ok(Verdict {
            response: given("response").cloned(),
            save: given("save").cloned(),
            do_not_save: given("doNotSave").is_some(),
            then_fail: None,
        })
    }

    async fn policy(&self, stored: &Value, master: bool) -> Result<Policy> {
        let answer = if self.has("policy") {
            let request = json!({ "ip": self.ctx.info.ip, "user": self.ctx.caller().user, "master": master });
            self.call("policy", vec![AdapterArg::Json(request), AdapterArg::Json(stored.clone())]).await?
        } else {
            self.info.properties.get("policy").cloned().unwrap_or(Value::Null)
        };
        match answer {
            Value::String(name) => Policy::named(&name),
            _ => Ok(Policy::Default),
        }
    }

    async fn challenge(
        &self,
        challenge: &Value,
        data: Option<&Value>,
        request: &AuthRequest<'_>,
    ) -> Result<Option<Value>> {
        if !self.has("challenge") {
            return Ok(None);
        }
        let args = vec![
            AdapterArg::Json(challenge.clone()),
            data.map_or(AdapterArg::Nothing, |data| AdapterArg::Json(data.clone())),
            AdapterArg::Options,
            self.request(request, None),
        ];
        let answer = self.call("challenge", args).await?;
        Ok(Some(if crate::types::javascript::is_truthy(&answer) { answer } else { true.into() }))
    }
}

/// A built-in provider, some of whose methods the application wrote anew.
struct Extended {
    own: Arc<dyn AuthProvider>,
    code: Custom,
}

#[async_trait(?Send)]
impl AuthProvider for Extended {
    async fn before_find(&self, data: &mut Object) -> Result<()> {
        self.own.before_find(data).await
    }

    async fn validate(&self, step: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        self.code.check_app(data, request).await?;
        self.own.validate(step, data, request).await
    }

    async fn policy(&self, stored: &Value, master: bool) -> Result<Policy> {
        match self.code.has("policy") {
            true => self.code.policy(stored, master).await,
            false => self.own.policy(stored, master).await,
        }
    }

    async fn challenge(
        &self,
        challenge: &Value,
        data: Option<&Value>,
        request: &AuthRequest<'_>,
    ) -> Result<Option<Value>> {
        match self.code.has("challenge") {
            true => self.code.challenge(challenge, data, request).await,
            false => self.own.challenge(challenge, data, request).await,
        }
    }

    fn mask(&self, stored: &Value) -> Option<Value> {
        self.own.mask(stored)
    }
}
