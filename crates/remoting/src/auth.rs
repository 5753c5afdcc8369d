//! Credentials, and the signature that servers with access control (ACL) ask of every request.
//!
//! Signing is the last step before a request is encoded: the values of all its fields, in the order of the fields' names,
//! and the body are authenticated with HMAC-SHA1, and the result travels as one more field (Java: `AclClientRPCHook`).
//! The number of the request is not part of it, so it is made before a connection's lock is taken.

mod signature;
mod signed;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

pub(crate) use self::signature::Signature;
pub(crate) use self::signed::Signed;
use crate::command::RemotingCommand;
use crate::header::RequestHeader;

/// Name of the field that says who signs.
pub(crate) const ACCESS_KEY: &str = "AccessKey";
/// Name of the field with the token of temporary credentials.
pub(crate) const SECURITY_TOKEN: &str = "SecurityToken";
/// Name of the field with the signature.
pub(crate) const SIGNATURE: &str = "Signature";

/// The fields that signing adds.
pub(crate) const FIELDS: [&str; 3] = [ACCESS_KEY, SECURITY_TOKEN, SIGNATURE];

/// Who a client is to servers with access control. Java: `SessionCredentials`.
///
/// Nothing of it is ever printed, not even the access key, since the two keys are easily mixed up. Clones share one
/// secret, which is wiped from memory with the last of them.
///
/// ```
/// use rocketmq_producer_remoting::Credentials;
///
/// let credentials = Credentials::new("orders", "a long secret")?;
/// assert_eq!(format!("{credentials:?}"), "Credentials { .. }");
/// # Ok::<(), rocketmq_producer_remoting::CredentialsError>(())
/// ```
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

struct Inner {
    access_key: String,
    security_token: Option<SecretString>,
    /// The state that every signature begins with: all that is kept of the secret key.
    keyed: Hmac<Sha1>,
}

/// A key or a token that cannot be one; its text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// There is no text.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// White space around it, or a control character in it: mostly the end of a line in a file.
    #[error("{0} begins or ends with white space, or holds a control character")]
    Stray(&'static str),
}

fn check(what: &'static str, text: &str) -> Result<(), CredentialsError> {
    if text.is_empty() {
        Err(CredentialsError::Empty(what))
    } else if text.trim() != text || text.contains(char::is_control) {
        Err(CredentialsError::Stray(what))
    } else {
        Ok(())
    }
}

impl Credentials {
    /// The credentials of an account: its access key (in ACL 2.0 the user name) and its secret key (the password).
    ///
    /// # Errors
    /// A [`CredentialsError`] if a key is empty, begins or ends with white space, or holds a control character.
    pub fn new(
        access_key: impl Into<String>,
        secret_key: impl Into<SecretString>,
    ) -> Result<Self, CredentialsError> {
        let (access_key, secret_key) = (access_key.into(), secret_key.into());
        check("the access key", &access_key)?;
        let secret = secret_key.expose_secret();
        check("the secret key", secret)?;
        // HMAC takes a key of any length.
        let keyed = Hmac::new_from_slice(secret.as_bytes())
            .map_err(|_| CredentialsError::Empty("the secret key"))?;
        let security_token = None;
        let inner = Arc::new(Inner {
            access_key,
            security_token,
            keyed,
        });
        Ok(Self { inner })
    }

    /// Adds the token that comes with temporary credentials.
    ///
    /// # Errors
    /// A [`CredentialsError`] if the token is empty, begins or ends with white space, or holds a control character.
    pub fn with_security_token(
        self,
        token: impl Into<SecretString>,
    ) -> Result<Self, CredentialsError> {
        let token = token.into();
        check("the security token", token.expose_secret())?;
        let inner = Arc::new(Inner {
            access_key: self.inner.access_key.clone(),
            security_token: Some(token),
            keyed: self.inner.keyed.clone(),
        });
        Ok(Self { inner })
    }

    /// The access key.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.inner.access_key
    }

    /// Signs a whole command: adds the fields of the credentials, and the signature as the last one.
    ///
    /// Connections sign their requests by themselves; this is for commands that travel another way.
    #[must_use]
    pub fn sign(&self, command: RemotingCommand) -> RemotingCommand {
        let mut command = command.with_field(ACCESS_KEY, self.access_key());
        if let Some(token) = self.security_token() {
            command = command.with_field(SECURITY_TOKEN, token);
        }
        // The binary form turns an empty value into null, for which the other side signs the word.
        command.ext_fields.retain(|(_, value)| !value.is_empty());
        let signature = self.signature_of(&command);
        command.with_field(SIGNATURE, signature)
    }

    /// The signature that a command with these fields and this body must carry. What it carries is left out.
    #[must_use]
    pub fn signature_of(&self, command: &RemotingCommand) -> String {
        signature::of_command(&self.inner.keyed, command)
    }

    fn security_token(&self) -> Option<&str> {
        let token = self.inner.security_token.as_ref();
        token.map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Gives the credentials that the next request is signed with, for those that change while a producer runs.
///
/// [`Credentials`] themselves are one that never changes, and [`RotatingCredentials`] one that is told of changes.
pub trait CredentialsProvider: Send + Sync + 'static {
    /// The credentials of now. Asked for every request, by the task that sends it: it must not block, and what it gives
    /// should be at hand.
    fn credentials(&self) -> Credentials;
}

impl CredentialsProvider for Credentials {
    fn credentials(&self) -> Credentials {
        self.clone()
    }
}

/// Credentials that can be replaced at any time; the next request is signed with the new ones.
///
/// ```
/// use std::sync::Arc;
/// use rocketmq_producer_remoting::{Credentials, CredentialsProvider, RotatingCredentials};
///
/// let provider = Arc::new(RotatingCredentials::new(Credentials::new("orders", "first secret")?));
/// // Given to a producer's builder; whoever learns of new credentials calls:
/// provider.replace(Credentials::new("orders-2", "second secret")?);
/// assert_eq!(provider.credentials().access_key(), "orders-2");
/// # Ok::<(), rocketmq_producer_remoting::CredentialsError>(())
/// ```
#[derive(Debug)]
pub struct RotatingCredentials {
    current: ArcSwap<Credentials>,
}

impl RotatingCredentials {
    /// Begins with `credentials`.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            current: ArcSwap::from_pointee(credentials),
        }
    }

    /// Puts `credentials` in the place of those before.
    pub fn replace(&self, credentials: Credentials) {
        self.current.store(Arc::new(credentials));
    }
}

impl CredentialsProvider for RotatingCredentials {
    fn credentials(&self) -> Credentials {
        Credentials::clone(&self.current.load())
    }
}

/// Signs the requests of connections with what a [`CredentialsProvider`] gives.
///
/// Two are equal if they have the same provider.
#[derive(Clone)]
pub struct Signer {
    provider: Arc<dyn CredentialsProvider>,
}

impl Signer {
    /// Signs with the credentials of `provider`.
    #[must_use]
    pub fn new(provider: Arc<dyn CredentialsProvider>) -> Self {
        Self { provider }
    }

    /// The signature of a request.
    pub(crate) fn sign<H: RequestHeader>(&self, header: &H, body: &[u8]) -> Signature {
        Signature::new(self.provider.credentials(), header, body)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.provider, &other.provider)
    }
}

impl Eq for Signer {}
