//! `/v1/cluster/…`: joining, renewing, and who is revoked.
//!
//! A node that joins has no token of the API and no certificate: its join token
//! and its signature are what it shows. All of this needs TLS, since a join
//! token in plain text would be everybody's.

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
};
use serde::Serialize;

use super::{
    Answer, Shared, body,
    caller::Caller,
    json,
    problem::{Kind, Problem},
};
use crate::{
    runtime::wall_clock,
    security::{
        Action,
        admission::{AdmissionError, Desk, JoinRequest},
        authority::Authority,
        membership::Membership,
        register::RegisterError,
        renewal,
        tls::{Arrival, Peer},
    },
};

/// The longest request of a node that nobody knows yet, in bytes.
const REQUEST_MAX: usize = 16 << 10;
/// How many may be let in at a time: each holds the register's lock.
pub(super) const AT_A_TIME: usize = 4;
/// When to come again, in milliseconds.
const COME_AGAIN: u64 = 1_000;

/// `POST /v1/cluster/join`
///
/// # Errors
/// 401, 403, 409, 413, 422, 503.
pub async fn join(
    State(api): State<Shared>,
    arrival: Option<Extension<Arrival>>,
    request: Request,
) -> Answer {
    if !arrival.is_some_and(|it| it.is_private()) {
        let detail = "joining needs TLS: a join token in plain text is everybody's; use `vsm cluster join`, or https://";
        return Err(Problem::new(Kind::TlsRequired, detail));
    }
    let _permit = permit(&api)?;
    let bytes = body::short(request, &api, REQUEST_MAX).await?;
    let request: JoinRequest = body::parse(&bytes, api.config.api.depth_max)?;
    let name = request.name.clone();
    let admitted = at_desk(&api, move |desk| desk.join(&request, wall_clock())).await;
    match admitted {
        Ok(admission) => {
            tracing::info!(node = %name, "let a node into the cluster");
            answer(&admission)
        }
        Err(problem) => {
            tracing::warn!(node = %name, why = problem.detail, "did not let a node in");
            Err(problem)
        }
    }
}

/// `POST /v1/cluster/renew`, over mutual TLS: a new certificate for who shows
/// one that is still good.
///
/// # Errors
/// 403, 409, 503.
pub async fn renew(State(api): State<Shared>, peer: Option<Extension<Peer>>) -> Answer {
    let Some(Extension(peer)) = peer else {
        let detail = "only a node renews its certificate, and shows the present one (mutual TLS); use `vsm cluster renew`";
        return Err(Problem::new(Kind::Forbidden, detail));
    };
    let _permit = permit(&api)?;
    let (name, key) = (peer.identity().node.clone(), peer.identity().key);
    let admission = at_desk(&api, move |desk| desk.renew(&name, key, wall_clock())).await?;
    tracing::info!(node = %peer.identity().node, "renewed a node's certificate");
    answer(&admission)
}

/// `GET /v1/cluster/revocations`: the signed list that this node goes by.
///
/// # Errors
/// 401, 403, 404.
pub async fn revocations(
    State(api): State<Shared>,
    peer: Option<Extension<Peer>>,
    caller: Caller,
) -> Answer {
    if peer.is_none() {
        caller.may(Action::ReadSystems)?;
    }
    let list = api.transport.revocations().ok_or_else(no_cluster)?;
    answer(list.signed())
}

fn answer(what: &impl Serialize) -> Answer {
    let value = serde_json::to_value(what)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(json(StatusCode::OK, value))
}

fn no_cluster() -> Problem {
    Problem::new(Kind::NotFound, "this node is in no cluster")
}

fn permit(api: &Shared) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
    api.joins.try_acquire().map_err(|_| {
        let detail = "several nodes are being let in; try again";
        Problem::new(Kind::Overloaded, detail).retry_after_ms(COME_AGAIN)
    })
}

/// Lets the authority work, where files may be waited for.
async fn at_desk<T: Send + 'static>(
    api: &Shared,
    work: impl FnOnce(&Desk<'_>) -> Result<T, AdmissionError> + Send + 'static,
) -> Result<T, Problem> {
    let membership = api.transport.membership().ok_or_else(no_cluster)?;
    let folder = Membership::folder(&api.config.node.data_dir);
    let life = renewal::life(&api.config);
    let working = move || {
        let authority =
            Authority::read(&folder, &membership.identity.cluster, &membership.authority)?;
        authority
            .map(|authority| {
                work(&Desk {
                    authority: &authority,
                    folder: &folder,
                    life,
                })
            })
            .transpose()
    };
    match tokio::task::spawn_blocking(working).await {
        Ok(Ok(Some(done))) => Ok(done),
        Ok(Ok(None)) => Err(Problem::new(
            Kind::Conflict,
            "this node does not have the cluster's authority; ask the node that founded the cluster",
        )
        .with("reason", "no-authority")),
        Ok(Err(error)) => Err(refusal(&error)),
        Err(_) => Err(Problem::new(Kind::Internal, "the authority failed")),
    }
}

fn refusal(error: &AdmissionError) -> Problem {
    use RegisterError as R;
    let Some(reason) = error.reason() else {
        // Paths of the node's machine are nobody else's business.
        tracing::error!(%error, "the authority failed");
        let detail = "the authority's files can't be used; the node's own log says more";
        return Problem::new(Kind::Internal, detail);
    };
    let kind = match error {
        AdmissionError::Register(R::TokenUnknown | R::TokenUsed(_) | R::TokenExpired(_))
        | AdmissionError::Token(_)
        | AdmissionError::Cluster(_)
        | AdmissionError::Signature
        | AdmissionError::Revoked(_) => Kind::Forbidden,
        AdmissionError::Register(_) => Kind::Conflict,
        _ => Kind::InvalidField,
    };
    Problem::new(kind, error.to_string()).with("reason", reason)
}
