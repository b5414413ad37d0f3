/**
 * From object changes to desired state: one compiler with memory, fed by the kinds it reads, nothing emitted before all of
 * them have delivered their first full picture, so that no block ever programs a part of the truth.
 */
import type { Desired } from 'kube-router-sdk/kernel';
import { Observable, Subject, type Subscription } from 'rxjs';

/** A stream of changes and whether it can be trusted, of one kind of object or of anything else that a compiler reads. */
export interface FeedInput<Change> {
  readonly changes$: Observable<Change>;
  /** Whether a change is, or follows, a full picture. */
  readonly synced: (change: Change) => boolean;
  /** Since when the source has been out of touch, epoch milliseconds. */
  readonly staleSince?: () => number | undefined;
  /**
   * Whether nothing is emitted before it is synced. An input that does not hold back (learned routes) is used at once, and
   * only pruning waits for it. @defaultValue true
   */
  readonly holds?: boolean;
}

/** What a compiler says after a change. */
export interface Compiled<State> {
  readonly state: State;
  readonly dirty: ReadonlySet<string>;
}

/** A running feed. */
export interface Feed<State> {
  /** Desired states; late subscribers get the current one first. */
  readonly desired$: Observable<Desired<State>>;
  /** Adds an input; `apply` hands its changes to the compiler. */
  add<Change>(input: FeedInput<Change>, apply: (change: Change) => Compiled<State>): void;
  /** Says that something outside the inputs changed the compiler's state. */
  push(compiled: Compiled<State>): void;
  /** Emits the current state again, with what is known now of the sources' health. */
  refresh(): void;
  close(): void;
}

/** Makes a feed without inputs; add all of them before anyone subscribes. */
export function createFeed<State>(): Feed<State> {
  const subject = new Subject<Desired<State>>();
  const subscriptions: Subscription[] = [];
  const inputs: { synced: boolean; holds: boolean; staleSince?: () => number | undefined }[] = [];
  let current: State | undefined;
  let held = new Set<string>();
  const staleSince = (): number | undefined => {
    const times = inputs.map((input) => input.staleSince?.()).filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  };
  const desired = (state: State, dirty?: ReadonlySet<string>): Desired<State> => {
    const stale = staleSince();
    return {
      state,
      synced: inputs.every((input) => input.synced),
      ...(dirty === undefined ? {} : { dirty }),
      ...(stale === undefined ? {} : { staleSince: stale }),
    };
  };
  const ready = (): boolean => inputs.every((input) => input.synced || !input.holds);
  const push = ({ state, dirty }: Compiled<State>): void => {
    current = state;
    for (const key of dirty) held.add(key);
    if (!ready()) return;
    const keys = held;
    held = new Set();
    subject.next(desired(state, keys));
  };
  return {
    desired$: new Observable((subscriber) => {
      const subscription = subject.subscribe(subscriber);
      if (current !== undefined && ready()) subscriber.next(desired(current));
      return subscription;
    }),
    add(input, apply) {
      const slot: (typeof inputs)[number] = {
        synced: false,
        holds: input.holds ?? true,
        ...(input.staleSince === undefined ? {} : { staleSince: input.staleSince }),
      };
      inputs.push(slot);
      subscriptions.push(
        input.changes$.subscribe((change) => {
          const compiled = apply(change);
          slot.synced ||= input.synced(change);
          push(compiled);
        }),
      );
    },
    push,
    refresh() {
      if (current !== undefined && ready()) subject.next(desired(current, new Set()));
    },
    close() {
      for (const subscription of subscriptions) subscription.unsubscribe();
      subject.complete();
    },
  };
}
