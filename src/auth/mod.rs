//! Login providers (`authData`): the trait, the registry, one file per provider.

/// The providers an app accepts, by name.
#[derive(Default)]
pub struct AuthProviders {}
