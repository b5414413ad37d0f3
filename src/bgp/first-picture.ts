/**
 * When a speaker that has just started knows enough: learned routes count as synced once every peer said End-of-RIB or the wait is
 * over, and after a restart nothing learned is announced before (Selection_Deferral_Timer, RFC 4724 section 4.1).
 */
import type { Core } from './core.ts';
import type { PeerOptions } from './model.ts';
import type { PeerRuntime } from './peer-types.ts';

/** Follows the first picture. */
export interface FirstPicture {
  /** Seconds since the speaker began. */
  elapsed(): number;
  /** Peers may be configured some time after the start: the first that knows of a restart begins the wait. */
  expect(options: PeerOptions): void;
  /** Something about peers changed. */
  check(): void;
  close(): void;
}

/** Makes a {@link FirstPicture}; `timeout` in seconds. */
export function createFirstPicture(core: Core, peers: () => Iterable<PeerRuntime>, timeout: number): FirstPicture {
  const { clock } = core;
  const startedAt = clock.now();
  const elapsed = (): number => (clock.now() - startedAt) / 1000;
  let synced = false;
  let deferred = false;

  const checkSynced = (late: boolean): void => {
    if (synced) return;
    if (!late) for (const peer of peers()) if (!peer.dynamic && !peer.options.shutdown && !peer.synced) return;
    synced = true;
    core.routes.setSynced();
  };
  const checkDeferral = (late: boolean): void => {
    if (!core.deferring || (!late && [...peers()].some((peer) => peer.defers()))) return;
    core.deferring = false;
    deferred = true;
    core.schedule();
  };
  const cancels = [
    clock.after(timeout * 1000, () => {
      checkDeferral(true);
      deferred = true;
      checkSynced(true);
    }),
  ];
  return {
    elapsed,
    expect({ gracefulRestart }) {
      if (gracefulRestart?.restarting !== true || elapsed() >= gracefulRestart.restartTime) return;
      core.deferring = !deferred;
      cancels.push(clock.after((gracefulRestart.restartTime - elapsed()) * 1000 + 1, () => checkDeferral(false)));
    },
    check() {
      checkDeferral(false);
      checkSynced(false);
    },
    close() {
      for (const cancel of cancels) cancel();
    },
  };
}
