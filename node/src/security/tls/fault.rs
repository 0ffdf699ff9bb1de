//! What is wrong with a handshake, by name.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::verify::Objection;

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The certificate's time is over.
    #[error(
        "the other's certificate has expired; renew it there (`vsm cluster renew`), and compare the clocks"
    )]
    Expired,
    /// The certificate's time has not begun.
    #[error("the other's certificate is not valid yet; compare the clocks of both machines")]
    NotYetValid,
    /// Another authority signed it.
    #[error("the other's certificate is not signed by this cluster's authority")]
    Foreign,
    /// The authority took it back.
    #[error("the other's certificate is revoked")]
    Revoked,
    /// It is for another node, or none.
    #[error("the other's certificate is refused: {0}")]
    Identity(String),
    /// There is none.
    #[error(
        "the other shows no certificate, and nodes have one; let it join with `vsm cluster join`"
    )]
    Missing,
    /// The other side refused ours, or something else of what we said.
    #[error("the other side refused: {0}")]
    Alert(&'static str),
    /// It took too long.
    #[error("the handshake took longer than api.tls.handshake_ms")]
    Slow,
    /// There were too many, and this one was the oldest.
    #[error(
        "more handshakes began than may be under way (api.tls.handshakes_max), and this one was the oldest"
    )]
    Crowded,
    /// The protocol was not kept.
    #[error("the handshake failed: {0}")]
    Protocol(String),
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(fault) => Self::of_certificate(fault),
            Error::NoCertificatesPresented => Self::Missing,
            Error::AlertReceived(alert) => Self::Alert(alert_text(*alert)),
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl Fault {
    fn of_certificate(fault: &CertificateError) -> Self {
        use CertificateError as E;
        match fault {
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::UnknownIssuer | E::BadSignature => Self::Foreign,
            E::Revoked => Self::Revoked,
            E::Other(other) => match other.0.downcast_ref::<Objection>() {
                Some(objection) => Self::Identity(objection.to_string()),
                None => Self::Protocol(other.to_string()),
            },
            other => Self::Protocol(other.to_string()),
        }
    }

    /// The fault that an error of a TLS stream tells of, if it does. With TLS
    /// 1.3 a client learns from its first read that its certificate was
    /// refused: show the error of that read here.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error
            .get_ref()
            .and_then(|it| it.downcast_ref::<Error>())
            .map(Self::from)
    }

    pub(super) fn of_handshake(error: &io::Error) -> Self {
        Self::of(error).unwrap_or_else(|| Self::Protocol(error.to_string()))
    }
}

/// What an alert says, with the remedy where there is one.
const fn alert_text(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => {
            "this node's certificate has expired, or is not valid yet; renew it with `vsm cluster renew`, and compare the clocks"
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "this node's certificate is not signed by the other's authority; are both in the same cluster?"
        }
        AlertDescription::CertificateRevoked => "this node was revoked",
        AlertDescription::CertificateRequired => "a certificate of the cluster is needed",
        AlertDescription::CertificateUnknown
        | AlertDescription::BadCertificate
        | AlertDescription::AccessDenied => {
            "this node's certificate is not one that the other accepts; is it of the same cluster?"
        }
        AlertDescription::NoApplicationProtocol => {
            "the other does not speak this protocol; is it a node of a cluster, and of the same version?"
        }
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            "there is no version of TLS that both speak; nodes speak 1.3"
        }
        _ => "the handshake failed there; its own log says more",
    }
}
