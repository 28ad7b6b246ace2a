//! What a run came to, as the line of JSON that the runner reads.

use crate::histogram::Histogram;
use crate::options::Options;
use std::time::Duration;

pub struct Outcome {
    pub events: u64,
    pub seconds: f64,
    pub checksum: u64,
    pub mean_batch: Option<f64>,
    pub latency: Option<Histogram>,
    /// The histogram of each quarter of the measured time.
    pub windows: Vec<Histogram>,
    /// Events of each paced producer.
    pub sent: Vec<u64>,
}

impl Outcome {
    /// A result without latencies.
    pub fn of(events: u64, time: Duration, checksum: u64) -> Self {
        Self {
            events,
            seconds: time.as_secs_f64(),
            checksum,
            mean_batch: None,
            latency: None,
            windows: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub fn json(&self, options: &Options) -> String {
        let mean_batch = self.mean_batch.map_or("null".into(), |mean| format!("{mean:.3}"));
        let latency = self.latency.as_ref().map_or("null".into(), |all| {
            format!(r#"{{"unit": "ns", "buckets": {}}}"#, all.json())
        });
        format!(
            r#"{{"contestant": "{}", "scenario": "{}", "events": {}, "seconds": {:.9}, "checksum": "{}", "mean_batch": {mean_batch}, "wait": "{}", "latency": {latency}{}, "runtime": "{}"}}"#,
            options.contestant,
            options.scenario,
            self.events,
            self.seconds,
            self.checksum,
            options.wait,
            self.of_paced(),
            env!("CONTESTANTS_RUNTIME"),
        )
    }

    fn of_paced(&self) -> String {
        if self.sent.is_empty() {
            return String::new();
        }
        let windows: Vec<String> = self.windows.iter().map(Histogram::json).collect();
        format!(r#", "sent": {:?}, "windows": [{}]"#, self.sent, windows.join(", "))
    }
}
