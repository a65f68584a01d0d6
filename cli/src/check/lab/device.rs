//! The devices of a lab: this machine, or a phone that is imitated as Lighthouse does.
//! <https://github.com/GoogleChrome/lighthouse/blob/main/docs/throttling.md>

use clap::ValueEnum;
use serde_json::{Value, json};
use vitals::view::Device;

/// The processor of the phone: so many times slower than this machine's.
const PHONE_SLOWDOWN: u32 = 4;
/// Latency of each request of the phone, in milliseconds: 150 ms round trips of slow 4G, times 3.75 for the handshakes that
/// the browser does not slow down.
const PHONE_LATENCY_MS: f64 = 562.5;
/// Throughput of the phone, in bytes a second: nine tenths of 1.6 Mbit/s down and 750 kbit/s up.
const PHONE_DOWN: f64 = 1_474.56 * 1_024.0 / 8.0;
const PHONE_UP: f64 = 675.0 * 1_024.0 / 8.0;

/// The device that pages see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LabDevice {
    /// A window of 1350 × 940, at the speed of this machine and its network.
    #[default]
    Desktop,
    /// A screen of 412 × 823 with touch, a processor 4 times slower, and slow 4G.
    Phone,
}

impl LabDevice {
    /// The class of device.
    pub(super) const fn class(self) -> Device {
        match self {
            Self::Desktop => Device::Desktop,
            Self::Phone => Device::Phone,
        }
    }

    /// The override of the browser's name, without the mark of headless browsers, which servers refuse.
    pub(super) fn user_agent(self, own: &str) -> Value {
        let own = own.replace("HeadlessChrome", "Chrome");
        match self {
            Self::Desktop => json!({"userAgent": own}),
            Self::Phone => {
                let version = own.split_whitespace().find(|part| part.starts_with("Chrome/"));
                json!({
                    "userAgent": format!(
                        "Mozilla/5.0 (Linux; Android 11; moto g power (2022)) AppleWebKit/537.36 (KHTML, like Gecko) {} \
                         Mobile Safari/537.36",
                        version.unwrap_or("Chrome/142.0.0.0")
                    ),
                    "userAgentMetadata": {
                        "platform": "Android", "platformVersion": "11", "architecture": "",
                        "model": "moto g power (2022)", "mobile": true
                    },
                })
            }
        }
    }

    /// The calls that imitate the device.
    pub(super) fn emulation(self) -> Vec<(&'static str, Value)> {
        let screen = |width: u32, height: u32, scale: f64, mobile: bool| {
            let metrics =
                json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile});
            ("Emulation.setDeviceMetricsOverride", metrics)
        };
        match self {
            Self::Desktop => vec![screen(1_350, 940, 1.0, false)],
            Self::Phone => vec![
                screen(412, 823, 1.75, true),
                ("Emulation.setTouchEmulationEnabled", json!({"enabled": true})),
                ("Emulation.setCPUThrottlingRate", json!({"rate": PHONE_SLOWDOWN})),
                (
                    "Network.emulateNetworkConditions",
                    json!({
                        "offline": false, "latency": PHONE_LATENCY_MS, "downloadThroughput": PHONE_DOWN,
                        "uploadThroughput": PHONE_UP
                    }),
                ),
            ],
        }
    }
}
