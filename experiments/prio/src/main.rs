//! Measures rounds of Prio3 (draft-irtf-cfrg-vdaf-18, crate `prio`), as
//! `protoledger bench aggregation` wants them: `prio-round CLIENTS LENGTH SERVERS MOST ROUNDS`.
//!
//! Each client has a vector of LENGTH numbers from 0 to MOST, which is type Prio3SumVec: their range
//! is proven to the servers together. What is counted is the scheme itself with its encoding and
//! decoding, in CPU time of this one thread; HPKE, TLS and signatures, which a deployment adds, are
//! not. A round whose sum is wrong is an error. Prints one JSON object of medians.

use std::error::Error;

use prio::codec::{Encode, ParameterizedDecode};
use prio::vdaf::prio3::{optimal_chunk_length, Prio3SumVec};
use prio::vdaf::{Aggregator, Client, Collector, Vdaf, VerifyTransition};

type Share = <Prio3SumVec as Vdaf>::InputShare;
type Public = <Prio3SumVec as Vdaf>::PublicShare;
type Verifier = <Prio3SumVec as Aggregator<32, 16>>::VerifierShare;
type Message = <Prio3SumVec as Aggregator<32, 16>>::VerifierMessage;

const CONTEXT: &[u8] = b"protoledger bench aggregation";

/// What one round took: milliseconds of a client and of one server, and bytes that each sends.
#[derive(Default)]
struct Figures {
    client_ms: Vec<f64>,
    server_ms: Vec<f64>,
    client_bytes: Vec<f64>,
    server_bytes: Vec<f64>,
}

/// What a client sends: its nonce, the public share, and a share for each server.
struct Report {
    nonce: [u8; 16],
    public: Vec<u8>,
    shares: Vec<Vec<u8>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<u64> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [clients, length, servers, most, rounds] = given[..] else {
        return Err("usage: prio-round CLIENTS LENGTH SERVERS MOST ROUNDS".into());
    };
    let bits = (u64::BITS - most.leading_zeros()) as usize;
    let length = length as usize;
    let chunk = optimal_chunk_length(length * bits);
    let vdaf = Prio3SumVec::new_sum_vec(u8::try_from(servers)?, u128::from(most), length, chunk)?;
    let mut figures = Figures::default();
    for number in 0..=rounds {
        let mut one = Figures::default();
        round(&vdaf, clients as usize, length, u128::from(most), &mut one)?;
        if number > 0 {
            // the first warms caches
            figures.client_ms.append(&mut one.client_ms);
            figures.server_ms.append(&mut one.server_ms);
            figures.client_bytes.append(&mut one.client_bytes);
            figures.server_bytes.append(&mut one.server_bytes);
        }
    }
    println!(
        "{{\"client_ms\": {}, \"server_ms\": {}, \"client_bytes\": {}, \"server_bytes\": {}}}",
        median(figures.client_ms),
        median(figures.server_ms),
        median(figures.client_bytes),
        median(figures.server_bytes)
    );
    Ok(())
}

fn round(
    vdaf: &Prio3SumVec,
    clients: usize,
    length: usize,
    most: u128,
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let key: [u8; 32] = rand::random();
    let mut expected = vec![0; length];
    let mut reports = Vec::new();
    for _ in 0..clients {
        let measurement: Vec<u128> = (0..length).map(|_| rand::random::<u128>() % (most + 1)).collect();
        expected.iter_mut().zip(&measurement).for_each(|(sum, value)| *sum += value);
        let before = milliseconds();
        let nonce = rand::random();
        let (public, shares) = vdaf.shard(CONTEXT, &measurement, &nonce)?;
        let shares = shares.iter().map(Encode::get_encoded).collect::<Result<Vec<_>, _>>()?;
        let report = Report { nonce, public: public.get_encoded()?, shares };
        figures.client_ms.push(milliseconds() - before);
        let bytes = report.public.len() * report.shares.len() // to each server
            + report.shares.iter().map(Vec::len).sum::<usize>()
            + report.nonce.len() * report.shares.len();
        figures.client_bytes.push(bytes as f64);
        reports.push(report);
    }
    let sums = aggregate(vdaf, &key, &reports, figures)?;
    if sums != expected {
        return Err("the round's sum is wrong".into());
    }
    Ok(())
}

/// Verify and add all reports; figures get each server's time and bytes.
fn aggregate(
    vdaf: &Prio3SumVec,
    key: &[u8; 32],
    reports: &[Report],
    figures: &mut Figures,
) -> Result<Vec<u128>, Box<dyn Error>> {
    let servers = vdaf.num_aggregators();
    let (mut times, mut sent) = (vec![0.0; servers], vec![0; servers]);
    let mut outputs = vec![Vec::new(); servers];
    for report in reports {
        let (mut states, mut said) = (Vec::new(), Vec::new());
        for server in 0..servers {
            let before = milliseconds();
            let public = Public::get_decoded_with_param(vdaf, &report.public)?;
            let share = Share::get_decoded_with_param(&(vdaf, server), &report.shares[server])?;
            let (state, word) =
                vdaf.verify_init(key, CONTEXT, server, &(), &report.nonce, &public, &share)?;
            said.push(word.get_encoded()?);
            states.push(state);
            times[server] += milliseconds() - before;
            sent[server] += said[server].len();
        }
        // Everybody's shares reach every server, so that none has to trust another's verdict.
        for (server, state) in states.into_iter().enumerate() {
            let before = milliseconds();
            let words = said
                .iter()
                .map(|word| Verifier::get_decoded_with_param(&state, word))
                .collect::<Result<Vec<_>, _>>()?;
            let message: Message = vdaf.verifier_shares_to_message(CONTEXT, &(), words)?;
            match vdaf.verify_next(CONTEXT, state, message)? {
                VerifyTransition::Finish(output) => outputs[server].push(output),
                VerifyTransition::Continue(..) => return Err("Prio3 has one round".into()),
            }
            times[server] += milliseconds() - before;
        }
    }
    let mut totals = Vec::new();
    for (server, shares) in outputs.into_iter().enumerate() {
        let before = milliseconds();
        totals.push(vdaf.aggregate(&(), shares)?);
        times[server] += milliseconds() - before;
    }
    figures.server_ms.push(times.iter().sum::<f64>() / servers as f64);
    figures.server_bytes.push(sent.iter().sum::<usize>() as f64 / servers as f64);
    Ok(vdaf.unshard(&(), totals, reports.len())?)
}

/// CPU time of this process.
fn milliseconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of this function, and the clock exists on Linux and macOS
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) }, 0);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}
