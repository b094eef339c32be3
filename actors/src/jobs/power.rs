//! Starts, stops and restarts servers.

use super::{
    Apply, StepCtx, StepError, Work,
    guest::{Guest, force_off, note_addresses, state_of},
    nothing,
    step::steps,
};
use crate::family::Family;
use async_trait::async_trait;
use std::time::Duration;
use sutler_drivers::compute::{GuestState, Stop};
use sutler_model::{ServerState, Timestamp, Wanted};

/// Time between two looks at a guest that was asked to shut down.
const LOOK_EVERY: Duration = Duration::from_millis(250);

steps! {
    /// Order of work when starting, stopping and restarting.
    PowerStep {
        /// Asks the guest to shut down, waits, then pulls the plug.
        StopDomain => "stop_domain",
        /// Defines the domain as recorded.
        DefineDomain => "define_domain",
        /// Starts it.
        StartDomain => "start_domain",
        /// Presses reset.
        ResetDomain => "reset_domain",
    }
}

/// Starts a stopped server.
#[derive(Default)]
pub(crate) struct StartServer {
    guest: Guest,
}

#[async_trait]
impl Work for StartServer {
    type Step = PowerStep;
    const FIRST: PowerStep = PowerStep::DefineDomain;

    fn next(&self, done: PowerStep) -> Option<PowerStep> {
        (done == PowerStep::DefineDomain).then_some(PowerStep::StartDomain)
    }

    async fn run(&self, step: PowerStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        run(&self.guest, step, ctx, false).await
    }

    async fn undo(&self, step: PowerStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        if step == PowerStep::StartDomain {
            force_off(ctx).await?;
        }
        Ok(nothing())
    }

    fn gave_up(&self, family: &mut Family, at: Timestamp, reason: &str) {
        if let Some(server) = &mut family.server
            && server.wanted == Wanted::Running
        {
            server.wanted = Wanted::Stopped;
        }
        family.enter(ServerState::Stopped, at, Some(reason.to_owned()));
    }
}

/// Stops a running server.
pub(crate) struct StopServer {
    pub(crate) force: bool,
}

#[async_trait]
impl Work for StopServer {
    type Step = PowerStep;
    const FIRST: PowerStep = PowerStep::StopDomain;

    fn next(&self, _: PowerStep) -> Option<PowerStep> {
        None
    }

    async fn run(&self, step: PowerStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        run(&Guest::default(), step, ctx, self.force).await
    }

    async fn undo(&self, _: PowerStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        as_seen(ctx).await
    }

    fn gave_up(&self, family: &mut Family, _: Timestamp, reason: &str) {
        still_runs(family, reason);
    }
}

/// Restarts a running server.
pub(crate) struct RebootServer {
    force: bool,
    guest: Guest,
}

impl RebootServer {
    pub(crate) fn new(force: bool) -> Self {
        Self { force, guest: Guest::default() }
    }
}

#[async_trait]
impl Work for RebootServer {
    type Step = PowerStep;
    const FIRST: PowerStep = PowerStep::StopDomain;

    fn next(&self, done: PowerStep) -> Option<PowerStep> {
        match done {
            PowerStep::StopDomain if self.force => Some(PowerStep::ResetDomain),
            PowerStep::StopDomain => Some(PowerStep::DefineDomain),
            PowerStep::DefineDomain => Some(PowerStep::StartDomain),
            PowerStep::StartDomain | PowerStep::ResetDomain => None,
        }
    }

    async fn run(&self, step: PowerStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        // A reset needs no shutdown before it; the step stays so that both ways begin with the same stored name.
        if self.force && step == PowerStep::StopDomain {
            return Ok(nothing());
        }
        run(&self.guest, step, ctx, false).await
    }

    async fn undo(&self, _: PowerStep, ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
        as_seen(ctx).await
    }

    fn gave_up(&self, family: &mut Family, _: Timestamp, reason: &str) {
        still_runs(family, reason);
    }
}

async fn run(guest: &Guest, step: PowerStep, ctx: &StepCtx<'_>, force: bool) -> Result<Apply, StepError> {
    let (id, compute) = (ctx.server()?.id, ctx.drivers()?.compute);
    match step {
        PowerStep::StopDomain => {
            if force {
                compute.stop(id, Stop::Force).await?;
            } else {
                shut_down(ctx).await?;
            }
            Ok(Box::new(|family: &mut Family, at| family.enter(ServerState::Stopped, at, None)))
        }
        PowerStep::DefineDomain => {
            let begins = compute.see(id).await?.is_none_or(|g| state_of(Some(g.state)) == ServerState::Stopped);
            if begins {
                guest.define(ctx).await?;
            }
            let metadata = ctx.job.metadata.clone();
            Ok(Box::new(move |family: &mut Family, at| {
                family.enter(ServerState::Starting, at, None);
                if let Some(server) = family.server.as_mut().filter(|_| begins) {
                    server.runtime_metadata.clone_from(&metadata);
                }
            }))
        }
        PowerStep::StartDomain => {
            compute.start(id).await?;
            let addresses = guest.addresses(ctx).await?;
            Ok(Box::new(move |family: &mut Family, at| {
                note_addresses(family, &addresses);
                family.enter(ServerState::Running, at, None);
            }))
        }
        PowerStep::ResetDomain => {
            compute.reset(id).await?;
            Ok(Box::new(|family: &mut Family, at| family.enter(ServerState::Running, at, None)))
        }
    }
}

/// Presses the power button and waits; pulls the plug when the guest takes too long.
async fn shut_down(ctx: &StepCtx<'_>) -> Result<(), StepError> {
    let (id, compute) = (ctx.server()?.id, ctx.drivers()?.compute);
    let since = ctx.job.current.as_ref().map_or(ctx.job.created_at, |c| c.since);
    let patience = i64::try_from(ctx.core.settings.shutdown_ms).unwrap_or(i64::MAX);
    compute.stop(id, Stop::Ask).await?;
    loop {
        match compute.see(id).await? {
            None => return Ok(()),
            Some(seen) if matches!(seen.state, GuestState::Stopped | GuestState::Crashed) => return Ok(()),
            // A frozen guest hears no button.
            Some(seen) if seen.state == GuestState::Frozen => return Ok(compute.stop(id, Stop::Force).await?),
            Some(_) if ctx.core.now().since_ms(since) >= patience => {
                return Ok(compute.stop(id, Stop::Force).await?);
            }
            Some(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Takes the guest's true state into the record.
async fn as_seen(ctx: &StepCtx<'_>) -> Result<Apply, StepError> {
    let seen = match ctx.drivers_if_placed()? {
        Some(drivers) => drivers.compute.see(ctx.server()?.id).await?,
        None => None,
    };
    let state = state_of(seen.map(|s| s.state));
    Ok(Box::new(move |family: &mut Family, at| family.enter(state, at, None)))
}

/// What the owner wants follows what is, with the reason.
fn still_runs(family: &mut Family, reason: &str) {
    let Some(server) = &mut family.server else { return };
    if server.wanted != Wanted::Deleted {
        server.wanted = if server.state.is_metered() { Wanted::Running } else { Wanted::Stopped };
    }
    server.state_reason = Some(reason.to_owned());
}
