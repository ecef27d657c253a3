use super::*;
use crate::auth::Callbacks;
use crate::types::Object;

/// Keeps the codes that were to be sent.
#[derive(Default)]
struct Phone(std::cell::RefCell<Vec<String>>);

#[async_trait(?Send)]
impl Callbacks for Phone {
    async fn call(&self, _: CallbackId, args: Vec<Value>) -> Result<Value> {
        self.0.borrow_mut().push(args[0].as_str().unwrap().to_owned());
        Ok(Value::Null)
    }
}

const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DP";

fn mfa() -> Mfa {
    let options = json!({"options": ["TOTP", "SMS"], "sendSMS": {"__callback": 1}});
    Mfa::new(&options).expect("options")
}

fn now() -> String {
    let step = (Millis::now().0 / 1000 / 30) as u64;
    mfa().settings.at_step(&decode_base32(SECRET).unwrap(), step)
}

async fn run(step: Step, stored: Value, data: Value, phone: &Phone) -> Result<Verdict> {
    let user: Object = serde_json::from_value(json!({"authData": {"mfa": stored}})).unwrap();
    let request = AuthRequest {
        original: Some(&user),
        object: &user,
        master: false,
        is_challenge: false,
        session_user: None,
        callbacks: phone,
    };
    mfa().validate(step, &data, &request).await
}

fn text(error: &crate::error::Error) -> &str {
    error.public_message(true)
}

#[test]
fn settings_are_checked() {
    let cases = [
        (json!({}), "mfa.options must be an array"),
        (json!({"options": []}), "mfa.options must include SMS or TOTP"),
        (json!({"options": ["TOTP"], "digits": "6"}), "mfa.digits must be a number"),
        (json!({"options": ["TOTP"], "digits": 3}), "mfa.digits must be between 4 and 10"),
        (json!({"options": ["TOTP"], "period": "x"}), "mfa.period must be a number"),
        (json!({"options": ["TOTP"], "period": 9}), "mfa.period must be greater than 10"),
        (json!({"options": ["SMS"]}), "mfa.sendSMS callback must be defined when using SMS OTPs"),
    ];
    for (options, message) in cases {
        assert_eq!(Mfa::new(&options).unwrap_err(), message);
    }
}

#[test]
fn settings_that_are_nothing_are_the_usual_ones() {
    for nothing in [json!(0), json!(""), json!(false), Value::Null] {
        let options =
            json!({"options": ["TOTP"], "digits": nothing, "period": nothing, "algorithm": nothing});
        let Totp { algorithm, digits, period } = Mfa::new(&options).expect("options").settings;
        assert_eq!((algorithm, digits, period), (Algorithm::Sha1, 6, 30), "{nothing}");
    }
}

#[tokio::test]
async fn totp_is_set_up_with_two_recovery_codes() {
    let data = json!({"secret": SECRET, "token": now()});
    let verdict = run(Step::SetUp, Value::Null, data, &Phone::default()).await.expect("set up");
    let save = verdict.save.expect("save");
    let codes: Vec<&str> = save["recovery"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(save["secret"], SECRET);
    assert_eq!(verdict.response.expect("response")["recovery"], codes.join(", "));
    for (data, message) in [
        (json!({"secret": SECRET, "token": "000"}), "Invalid MFA token"),
        (json!({"secret": SECRET, "token": 5}), "Invalid MFA token"),
        (json!({"secret": "SHORT", "token": "000000"}), "Invalid MFA data"),
        (json!({"token": "000000"}), "Invalid MFA data"),
    ] {
        let error = run(Step::SetUp, Value::Null, data, &Phone::default()).await.expect_err("refused");
        assert_eq!(text(&error), message);
    }
}

#[tokio::test]
async fn a_recovery_code_is_taken_off_the_list() {
    let stored = json!({"secret": SECRET, "recovery": ["one", "two"]});
    let used = run(Step::Login, stored.clone(), json!({"token": "two"}), &Phone::default()).await;
    assert_eq!(used.expect("login").save.expect("save")["recovery"], json!(["one"]));
    let by_time = run(Step::Login, stored.clone(), json!({"token": now()}), &Phone::default()).await;
    assert!(by_time.expect("login").do_not_save);
    for token in [json!("wrong"), json!({"$ne": 1}), Value::Null] {
        let error = run(Step::Login, stored.clone(), json!({"token": token}), &Phone::default()).await;
        assert_eq!(text(&error.expect_err("refused")), "Invalid MFA token");
    }
}

#[tokio::test]
async fn changing_the_secret_needs_the_old_one() {
    let stored = json!({"secret": SECRET, "recovery": []});
    let other = "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU";
    let step = (Millis::now().0 / 1000 / 30) as u64;
    let token = mfa().settings.at_step(&decode_base32(other).unwrap(), step);
    let good = json!({"old": now(), "secret": other, "token": token});
    let verdict = run(Step::Update, stored.clone(), good, &Phone::default()).await.expect("update");
    assert_eq!(verdict.save.expect("save")["secret"], other);
    let bad = json!({"old": "000", "secret": other, "token": token});
    let error = run(Step::Update, stored, bad, &Phone::default()).await.expect_err("refused");
    assert_eq!(text(&error), "Invalid MFA token");
}

#[tokio::test]
async fn a_phone_is_confirmed_and_then_used() {
    let phone = Phone::default();
    let mobile = "+15555555555";
    let verdict = run(Step::SetUp, Value::Null, json!({"mobile": mobile}), &phone).await.expect("set up");
    let pending = verdict.save.expect("save");
    let token = phone.0.borrow()[0].clone();
    let early = run(Step::Update, pending.clone(), json!({"mobile": mobile}), &phone).await;
    assert_eq!(text(&early.expect_err("no token")), "MFA is already set up on this account");
    let data = json!({"mobile": mobile, "token": token});
    let confirmed = run(Step::Update, pending, data, &phone).await.expect("confirm").save.expect("save");
    assert_eq!(confirmed, json!({"mobile": mobile, "pending": {}}));
    let asked = run(Step::Login, confirmed, json!({"token": "request"}), &phone).await.expect("request");
    assert_eq!(text(&asked.then_fail.expect("fails")), "Please enter the token");
    let stored = asked.save.expect("save");
    let sent = phone.0.borrow()[1].clone();
    let wrong = run(Step::Login, stored.clone(), json!({"token": "x"}), &phone).await;
    assert_eq!(text(&wrong.expect_err("wrong")), "Invalid MFA token 1");
    let verdict = run(Step::Login, stored.clone(), json!({"token": sent}), &phone).await.expect("login");
    assert_eq!(verdict.save.expect("save"), json!({"mobile": mobile, "pending": {}}));
    let mut late = stored;
    late["expiry"] = "2020-01-01T00:00:00.000Z".into();
    let error = run(Step::Login, late, json!({"token": sent}), &phone).await.expect_err("late");
    assert_eq!(text(&error), "Invalid MFA token 2");
}

#[tokio::test]
async fn readers_see_the_status_only() {
    assert_eq!(mfa().mask(&json!({"secret": "x"})), Some(json!({"status": "enabled"})));
    assert_eq!(mfa().mask(&json!({"pending": {}})), Some(json!({"status": "disabled"})));
    let pending = json!({"pending": {"1": {}}});
    assert_eq!(mfa().policy(&pending, false).await.expect("policy"), Policy::Default);
    assert_eq!(mfa().policy(&json!({"secret": "x"}), false).await.expect("policy"), Policy::Additional);
}
