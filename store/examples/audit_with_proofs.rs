//! Two parties: one keeps a log and signs checkpoints of it, the other has the
//! public key and what it was sent, and believes nothing else.
//!
//! ```text
//! cargo run -p vsm-store --example audit_with_proofs
//! ```

use std::error::Error;

use vsm_store::note::{
    ConsistencyProof, EventProof, ForkEvidence, NoteSigner, SignedCheckpoint, VerifierKey,
};
use vsm_store::{Batch, EventLog, NewEvent, Options, Ticket};

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    // In earnest, the seed is 32 random bytes that never leave the keeper.
    let signer = NoteSigner::new("log.example/payments", &[42; 32])?;
    let options = || Options::new().node_key(signer.public_key());
    let log = EventLog::open(scratch.path().join("log"), options())?;

    // The keeper.
    let receipt = pay(&log, "ada", "30.00")?;
    for n in 0..999 {
        drop(pay(&log, "others", &format!("{n}.00"))?);
    }
    log.wait_durable(log.appended())?;
    let prover = log.prover();
    let checkpoint = prover.checkpoint(&signer)?;
    let proof = prover.prove_event(receipt.first, &checkpoint)?;
    let event = log.event(receipt.first)?.ok_or("it is durable")?;
    let sent = Sent {
        key: signer.verifier().to_string(),
        proof: proof.to_string(),
        descriptor: event.descriptor().to_vec(),
        salt: *event.salt().ok_or("the event has a body")?,
    };
    println!("The verifier key, known to everybody:\n\n{}\n", sent.key);
    println!("What Ada gets for her payment:\n\n{}", sent.proof);

    // Ada, without the log.
    let old = ada(&sent)?;
    println!("Ada: it is event {} of {}\n", receipt.first, old.size());

    // The log goes on; the keeper shows that it only grew.
    for n in 0..500 {
        drop(pay(&log, "others", &format!("{n}.50"))?);
    }
    log.wait_durable(log.appended())?;
    let prover = log.prover(); // the one before knows nothing of these events
    let grown = prover.prove_consistency(old.size(), &prover.checkpoint(&signer)?)?;
    let grown = grown.to_string();
    println!("What a witness or Ada gets later:\n\n{grown}");
    let key = VerifierKey::parse(&sent.key)?;
    let grown = ConsistencyProof::parse(&grown)?;
    grown.check(&key, "log.example/payments", &old)?;
    println!("Ada: it has grown to {}\n", grown.checkpoint().size());

    // Somebody else is shown another history under the same key.
    let other = EventLog::in_memory(options())?;
    for n in 0..700 {
        drop(pay(&other, "others", &format!("{n}.00"))?);
    }
    other.wait_durable(other.appended())?;
    let shown_to_bob = other.prover().checkpoint(&signer)?.to_string();
    let theirs = SignedCheckpoint::parse(&shown_to_bob)?;
    let evidence = prover.fork_evidence(&theirs, &signer)?.to_string();
    println!("What convinces a judge:\n\n{evidence}");
    ForkEvidence::parse(&evidence)?.check(&key)?;
    println!("The judge: this key has signed two histories");

    // An honest checkpoint is no evidence.
    let refused = prover.fork_evidence(&old, &signer);
    println!(
        "Of Ada's own checkpoint: {}",
        refused.err().ok_or("it agrees")?
    );
    log.close()?;
    Ok(())
}

/// All that leaves the keeper.
struct Sent {
    key: String,
    proof: String,
    descriptor: Vec<u8>,
    salt: [u8; 16],
}

/// Checks everything, and returns the checkpoint to compare later ones with.
fn ada(sent: &Sent) -> Result<SignedCheckpoint, Box<dyn Error>> {
    let key = VerifierKey::parse(&sent.key)?;
    let proof = EventProof::parse(&sent.proof)?;
    let proven = proof.check(&key, "log.example/payments")?;
    proven.check_descriptor(&sent.descriptor)?;
    proven.check_body(&sent.salt, b"30.00")?;
    assert!(proven.check_body(&sent.salt, b"31.00").is_err());
    Ok(proof.inclusion().checkpoint().clone())
}

fn pay(log: &EventLog, who: &str, amount: &str) -> Result<Ticket, Box<dyn Error>> {
    let mut batch = Batch::new();
    batch.push(&NewEvent {
        stream: &format!("payments/{who}"),
        kind: "paid",
        key: None,
        meta: b"EUR",
        body: Some(amount.as_bytes()),
    })?;
    Ok(log.append(&batch)?)
}
