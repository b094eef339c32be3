//! The one `actix` actor there is: it hosts an entity, gives it its turns, and survives nothing it does not have to.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Weak},
    task,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, ActorStreamExt, AsyncContext, Context, Handler, Message, WrapFuture,
    fut::LocalBoxActorFuture,
};
use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{
    Entity, Handles,
    activation::Core,
    guard,
    life::{Life, Ticket},
};

/// Results handed over in one turn.
const ENDS_MAX: usize = 256;

/// What a turn may ask of the actor it runs in.
pub struct Ctx<E: Entity> {
    life: Arc<Life>,
    /// Background futures begun in the current turn, adopted when it ends.
    begun: RefCell<Vec<LocalBoxActorFuture<Host<E>, ()>>>,
}

impl<E: Entity> Ctx<E> {
    /// The id the entity was activated under.
    pub fn id(&self) -> Uuid {
        self.life.id
    }

    /// Starts `work` beside the mailbox, on the entity's arbiter, and gives its result to `done` in a turn of its own.
    ///
    /// The entity stays awake until then. A panic in either crashes the entity, as one in a handler does; when it
    /// crashes or is stopped, `work` is dropped. What must outlive that belongs into a job.
    pub fn spawn<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
        done: impl FnOnce(&mut E, T, &Ctx<E>) + 'static,
    ) {
        let done = Cell::new(Some(done));
        self.spawn_all([work], move |entity, results, ctx| {
            if let (Some(done), Some(result)) = (done.take(), results.into_iter().next()) {
                done(entity, result, ctx);
            }
        });
    }
}

impl<E: Entity> Ctx<E> {
    /// Starts several works as [`Ctx::spawn`] does one, in one task; what ends together comes back in one turn.
    ///
    /// Beside sparing wake-ups this spares `actix`, which polls all futures of an actor when one of them is woken.
    pub fn spawn_all<T: 'static>(
        &self,
        works: impl IntoIterator<Item = impl Future<Output = T> + 'static>,
        done: impl Fn(&mut E, Vec<T>, &Ctx<E>) + 'static,
    ) {
        let mut ends = works.into_iter().collect::<FuturesUnordered<_>>().ready_chunks(ENDS_MAX);
        let (to, ended) = mpsc::unbounded_channel();
        let work = async move {
            while let Some(results) = ends.next().await {
                if to.send(results).is_err() {
                    break;
                }
            }
        };
        // Its own task, since actix polls an actor's futures only between turns.
        let task = AbortOnDrop(actix::spawn(guard::wrap(work)));
        let ended = stream::unfold((ended, Some(task)), |(mut ended, mut task)| async {
            let item = match ended.recv().await {
                Some(results) => Ok(results),
                None => Err(task.take()?.await?.err()?),
            };
            Some((item, (ended, task)))
        });
        let (done, ticket) = (Rc::new(done), Ticket::new(&self.life));
        let adopted =
            actix::fut::wrap_stream::<_, Host<E>>(ended.boxed_local()).map(move |ended, host, actix| match ended {
                Ok(results) => {
                    let done = done.clone();
                    let act = move |entity: &mut E, ctx: &Ctx<E>| done(entity, results, ctx);
                    host.step_when_free(Due { act: Box::new(act), ticket: ticket.another() }, actix);
                }
                Err(panic) => host.crash(panic, actix),
            });
        self.begun.borrow_mut().push(adopted.finish().boxed_local());
    }
}

/// A local task that ends with its handle; `None` when its runtime ended first.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Hosts one activation of one entity.
pub(super) struct Host<E: Entity> {
    core: Weak<Core<E>>,
    ctx: Rc<Ctx<E>>,
    /// Away during a turn, and for good after a crash.
    entity: Option<Box<E>>,
    /// Keeps the sweep away until `started` has run.
    birth: Option<Ticket>,
    /// Who waits for the end that [`Halt`] asked for.
    halted: Option<oneshot::Sender<()>>,
    /// Turns of finished background work that came due during another turn.
    due: VecDeque<Due<E>>,
}

/// What a turn that does not wait does.
type Act<E> = Box<dyn FnOnce(&mut E, &Ctx<E>)>;

/// A turn that does not wait, and what keeps the entity awake until it was taken.
struct Due<E: Entity> {
    act: Act<E>,
    ticket: Ticket,
}

impl<E: Entity> Host<E> {
    pub(super) fn new(core: Weak<Core<E>>, birth: Ticket, life: Arc<Life>, entity: Box<E>) -> Self {
        let ctx = Rc::new(Ctx { life, begun: RefCell::default() });
        Self { core, ctx, entity: Some(entity), birth: Some(birth), halted: None, due: VecDeque::new() }
    }

    /// Runs a turn that does not wait.
    fn step(&mut self, actix: &mut Context<Self>, act: impl FnOnce(&mut E, &Ctx<E>)) {
        let Some(mut entity) = self.entity.take() else { return };
        let ctx = self.ctx.clone();
        let turn = guard::run(move || {
            act(&mut entity, &ctx);
            let idle = entity.idle();
            (entity, idle)
        });
        match turn {
            Ok((entity, idle)) => self.settle(entity, idle, actix),
            Err(panic) => self.crash(panic, actix),
        }
    }

    /// Takes the turn now, or at the end of the one that is being taken: `actix` polls an actor's futures once more after
    /// a handler asked it to wait, when the entity is away already.
    fn step_when_free(&mut self, due: Due<E>, actix: &mut Context<Self>) {
        if self.entity.is_some() {
            self.step(actix, due.act);
            drop(due.ticket);
        } else {
            self.due.push_back(due);
        }
    }

    /// Takes the turns that came due meanwhile.
    fn catch_up(&mut self, actix: &mut Context<Self>) {
        while self.entity.is_some()
            && let Some(due) = self.due.pop_front()
        {
            self.step(actix, due.act);
            drop(due.ticket);
        }
    }

    /// Takes the entity back after a turn.
    fn settle(&mut self, entity: Box<E>, idle: bool, actix: &mut Context<Self>) {
        self.entity = Some(entity);
        self.ctx.life.set_idle(idle);
        let begun = mem::take(&mut *self.ctx.begun.borrow_mut());
        for work in begun {
            actix.spawn(work);
        }
    }

    /// Ends this activation after a panic. What is queued goes back to those who sent it.
    fn crash(&mut self, panic: String, actix: &mut Context<Self>) {
        self.entity = None;
        if let Some(core) = self.core.upgrade() {
            core.gauges.panics.increment(1);
            core.crashed(&self.ctx.life, panic);
        }
        actix.stop();
    }
}

impl<E: Entity> Actor for Host<E> {
    type Context = Context<Self>;

    fn started(&mut self, actix: &mut Context<Self>) {
        self.step(actix, Entity::started);
        self.birth = None;
    }
}

impl<E: Entity> Drop for Host<E> {
    fn drop(&mut self) {
        let entity = self.entity.take();
        if let Err(panic) = guard::run(move || drop(entity)) {
            tracing::error!(kind = E::KIND, id = %self.ctx.life.id, panic, "dropping an entity panicked");
        }
        // From here the mailbox goes too, and its messages back to their senders: the next activation may begin.
        if let Some(core) = self.core.upgrade() {
            core.ended(&self.ctx.life, self.halted.is_some());
        }
    }
}

/// Puts the actor to sleep when its turn comes; the sender is dropped when the actor has ended.
pub(super) struct Halt(pub(super) oneshot::Sender<()>);

impl Message for Halt {
    type Result = ();
}

impl<E: Entity> Handler<Halt> for Host<E> {
    type Result = ();

    fn handle(&mut self, Halt(waiting): Halt, actix: &mut Context<Self>) {
        // A second one stays in the mailbox, and goes with it.
        self.halted = Some(waiting);
        actix.stop();
    }
}

/// How a message came back.
pub(super) enum Answer<M: Message> {
    /// Its turn ended.
    Done(M::Result),
    /// Its turn panicked.
    Crashed(String),
    /// It was never begun.
    Returned(M),
}

/// A message on its way: it is answered, or it goes back to its sender, but it is never lost.
pub(super) struct Envelope<M: Message>(Option<Letter<M>>);

struct Letter<M: Message> {
    msg: M,
    ticket: Ticket,
    reply: oneshot::Sender<Answer<M>>,
}

impl<M: Message> Envelope<M> {
    pub(super) fn seal(msg: M, ticket: Ticket) -> (Self, oneshot::Receiver<Answer<M>>) {
        let (reply, answer) = oneshot::channel();
        (Self(Some(Letter { msg, ticket, reply })), answer)
    }
}

impl<M: Message> Drop for Envelope<M> {
    fn drop(&mut self) {
        if let Some(Letter { msg, ticket, reply }) = self.0.take() {
            drop(ticket);
            // Who gave up waiting does not want it back; its drop is a kind's code too.
            if let Err(unwanted) = reply.send(Answer::Returned(msg)) {
                let _ = guard::run(move || drop(unwanted));
            }
        }
    }
}

impl<M: Message> Message for Envelope<M> {
    type Result = ();
}

impl<E, M> Handler<Envelope<M>> for Host<E>
where
    E: Handles<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    type Result = ();

    fn handle(&mut self, mut envelope: Envelope<M>, actix: &mut Context<Self>) {
        // Nobody waits any more: not beginning it is what the timeout promised.
        if envelope.0.as_ref().is_none_or(|letter| letter.reply.is_closed()) {
            return;
        }
        // Between turns the entity is here; without it the envelope goes back.
        let Some(mut entity) = self.entity.take() else { return };
        let Some(Letter { msg, ticket, reply }) = envelope.0.take() else { return };
        let ctx = self.ctx.clone();
        let turn = guard::wrap(async move {
            let result = entity.handle(msg, &ctx).await;
            let idle = entity.idle();
            (entity, idle, result)
        });
        actix.wait(turn.into_actor(self).map(move |ended, host, actix| {
            let answer = match ended {
                Ok((entity, idle, result)) => {
                    host.settle(entity, idle, actix);
                    host.catch_up(actix);
                    Answer::Done(result)
                }
                Err(panic) => {
                    host.crash(panic.clone(), actix);
                    Answer::Crashed(panic)
                }
            };
            drop(ticket);
            if let Err(unwanted) = reply.send(answer) {
                let _ = guard::run(move || drop(unwanted));
            }
        }));
    }
}
