//! Who is compared, and which constants each may choose from.

use std::time::Duration;

use fleet_scaler::backtest::Scaler;
use fleet_scaler::backtest::rivals::Rival;
use fleet_scaler::backtest::shipped::{SIGNAL, Shipped};
use fleet_scaler::decide::policy::{
    Cooldown, ForecastPolicy, Mode, Place, Policy, Safety, ScaleIn, SizePolicy, Target, VictimOrder,
};
use fleet_scaler::domain::ids::{FleetName, SubnetId, Zone};

const MINUTE: Duration = Duration::from_mins(1);

/// How ours is called.
pub(crate) const OURS: &str = "fleet-scaler";

/// Targets that the others may choose from: from, to, steps.
pub(crate) const TARGETS: (f64, f64, u32) = (0.35, 0.8, 18);

/// Ours has one target, whose limit (a tenth above it) is the service level: the head-room that the others must choose
/// a lower target for is learned.
const OUR_TARGET: f64 = 0.725;

/// The default of a fleet's file.
const SHORTFALL: f64 = 0.0005;

/// Shares of the load that may fall short, of which ours chooses one.
const SHORTFALLS: [f64; 3] = [SHORTFALL, 0.0008, 0.0012];

/// The defaults of a fleet's file: for how long no larger size was recommended before hosts go, and how long after a change.
const PATIENCE: Patience = Patience { window: Duration::from_mins(5), cooldown: Duration::from_mins(5) };

/// Of which ours chooses one.
const PATIENCES: [Patience; 4] = [
    PATIENCE,
    Patience { window: MINUTE, ..PATIENCE },
    Patience { cooldown: Duration::from_secs(150), ..PATIENCE },
    Patience { window: MINUTE, cooldown: Duration::from_secs(150) },
];

/// One that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// The shipped decision.
    Ours,
    /// A model of somebody else's rule.
    Rival(Rival),
}

/// One choice of constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Constants {
    pub(crate) target: f64,
    /// Only of ours.
    pub(crate) shortfall: f64,
    /// Only of ours.
    pub(crate) patience: Patience,
}

/// How soon hosts are given back: `scale_in.window` and `cooldown.scale_in` of a fleet's file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Patience {
    window: Duration,
    cooldown: Duration,
}

impl Constants {
    /// This target, everything else as it comes.
    pub(crate) fn of(target: f64) -> Self {
        Self { target, shortfall: SHORTFALL, patience: PATIENCE }
    }
}

impl Contestant {
    pub(crate) fn all() -> Vec<Self> {
        std::iter::once(Self::Ours).chain(Rival::ALL.map(Self::Rival)).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Rival(rival) => rival.name(),
        }
    }

    /// Every choice that it has.
    pub(crate) fn choices(self) -> Vec<Constants> {
        let (least, most, steps) = TARGETS;
        match self {
            Self::Rival(_) => (0..=steps)
                .map(|step| least + (most - least) * f64::from(step) / f64::from(steps))
                .map(Constants::of)
                .collect(),
            Self::Ours => {
                let choices = |shortfall| {
                    PATIENCES.map(|patience| Constants { target: OUR_TARGET, shortfall, patience })
                };
                SHORTFALLS.into_iter().flat_map(choices).collect()
            }
        }
    }

    /// What it chose, in words.
    pub(crate) fn describe(self, constants: Constants) -> String {
        match self {
            Self::Rival(_) => format!("{:.3}", constants.target),
            Self::Ours => format!(
                "{:.3}, {:.2} %, {} s, {} s",
                constants.target,
                100.0 * constants.shortfall,
                constants.patience.window.as_secs(),
                constants.patience.cooldown.as_secs()
            ),
        }
    }

    /// With these constants, anew.
    pub(crate) fn with(self, constants: Constants) -> Box<dyn Scaler> {
        match self {
            Self::Rival(rival) => rival.with_target(constants.target),
            Self::Ours => Box::new(Shipped::new(OURS, fitted(constants))),
        }
    }

    /// At this target, everything else as it comes.
    pub(crate) fn at(self, target: f64) -> Box<dyn Scaler> {
        self.with(Constants::of(target))
    }

    /// As its documentation sets it up; ours with every default that a fleet's file leaves out.
    pub(crate) fn as_documented(self) -> Box<dyn Scaler> {
        match self {
            Self::Rival(rival) => rival.documented_default(),
            Self::Ours => Box::new(Shipped::new(OURS, default_policy())),
        }
    }
}

/// What an operator of a hundred hosts writes: steps and budget that fit the fleet, a quick way out, and leave to follow
/// forecasts where they prove themselves.
fn fitted(constants: Constants) -> Policy {
    let mut policy = default_policy();
    policy.targets[0].value = constants.target;
    policy.targets[0].shortfall = constants.shortfall;
    policy.size.step_in_max = 1_000;
    policy.safety.budget_count = 10_000;
    policy.cooldown.scale_out = Duration::from_secs(15);
    policy.targets[0].forecast = Some(ForecastPolicy { hosts_max: 50 });
    policy.scale_in.window = constants.patience.window;
    policy.cooldown.scale_in = constants.patience.cooldown;
    policy
}

/// The defaults of a fleet's file, and the target of the example.
fn default_policy() -> Policy {
    Policy {
        fleet: FleetName::new("bench"),
        mode: Mode::Live,
        interval: Duration::from_secs(15),
        size: SizePolicy { min: 1, max: 1_000, step_out_max: None, step_in_max: 1 },
        rules: Vec::new(),
        schedules: Vec::new(),
        candidates: Vec::new(),
        targets: vec![Target {
            name: "cpu".to_owned(),
            signal: SIGNAL.to_owned(),
            value: 0.6,
            tolerance: 0.1,
            shortfall: SHORTFALL,
            forecast: None,
        }],
        cooldown: Cooldown { scale_out: MINUTE, scale_in: PATIENCE.cooldown },
        scale_in: ScaleIn {
            window: PATIENCE.window,
            order: VictimOrder::Oldest,
            protect_tag: "fleet-scaler:protect".to_owned(),
        },
        safety: Safety {
            halt_unhealthy: 0.2,
            budget_count: 5,
            budget_per: 10 * MINUTE,
            launch_failures_max: 3,
            breaker_reset: 10 * MINUTE,
        },
        quorum: 0.75,
        boot_timeout: 15 * MINUTE,
        health_grace: 2 * MINUTE,
        target_groups: Vec::new(),
        places: vec![Place { zone: Zone::new("a"), subnet: SubnetId::new("subnet-a") }],
        instance_types: Vec::new(),
    }
}
