/**
 * Routes kept for a peer that is away: graceful restart (RFC 4724), long-lived graceful restart (RFC 9494), and the marking that
 * enhanced route refresh uses as well (RFC 7313).
 * One per peer, told by peer-runtime.ts when its session goes and comes; owns the timers after which kept routes go.
 */
import type { Core } from './core.ts';
import type { UnicastFamily } from './model.ts';
import { keepAttributes, readAttributes } from './rib/attributes.ts';
import type { Tag } from './rib/attribute-store.ts';
import { nextHopBytes, release } from './rib/attribute-store.ts';
import type { Rib } from './rib/table.ts';
import { LONG_STALE, STALE, dropRow, settle } from './rib/table.ts';
import type { Negotiated } from './session/negotiate.ts';

/** LLGR_STALE (RFC 9494 section 4.6), and the bit of `wellKnown` that stands for NO_LLGR. */
const LLGR_STALE = 0xffff0006;
const NO_LLGR_BIT = 16;

type FamilyNumber = 4 | 6;
const BOTH: readonly FamilyNumber[] = [4, 6];

/** A unicast family by the version of its addresses. */
export const familyNumber = (family: UnicastFamily): FamilyNumber => (family === 'ipv4-unicast' ? 4 : 6);

/** Keeps and forgets the routes of one peer. */
export interface Retention {
  /** Whether anything is kept. */
  readonly active: boolean;
  /** The session ended; without `graceful` everything goes. */
  down(graceful: Negotiated['gracefulRestart']): void;
  /** The session is back: what the peer did not forward meanwhile goes, the rest has `staleTime` seconds to be told again. */
  up(graceful: Negotiated['gracefulRestart'], staleTime: number): void;
  /** Everything of a family was told again. */
  endOfRib(family: FamilyNumber): void;
  /** The peer begins, or has ended, telling a family again on the same session. */
  refreshBegins(family: FamilyNumber): void;
  refreshEnds(family: FamilyNumber): void;
  /** Drops everything at once. */
  close(): void;
}

/** What a {@link Retention} is made from. */
export interface RetentionOptions {
  readonly core: Core;
  readonly peer: number;
  readonly address: string;
  /** Something is no longer kept. */
  readonly onChange: () => void;
}

/** Makes a {@link Retention}. */
export function createRetention({ core, peer, address, onChange }: RetentionOptions): Retention {
  const { clock, store } = core;
  const stale = new Set<FamilyNumber>();
  /** Families in their long-lived phase, with how to stop its timer. */
  const long = new Map<FamilyNumber, () => void>();
  let cancelTimer: () => void = () => undefined;
  let finishSweep: () => void = () => undefined;

  const sweep = (
    families: readonly FamilyNumber[],
    visit: (rib: Rib, row: number) => void,
    done?: () => void,
  ): void => {
    finishSweep();
    finishSweep = core.sweep(peer, families, visit, done);
  };

  const after = (seconds: number, callback: () => void): (() => void) => clock.after(seconds * 1000, callback);

  const forget = (families: readonly FamilyNumber[]): void => {
    for (const family of families) {
      stale.delete(family);
      long.get(family)?.();
      long.delete(family);
    }
  };

  /** `drops`: whether paths of a family that are stale already go. */
  const mark = (families: readonly FamilyNumber[], drops: (family: FamilyNumber) => boolean): void => {
    for (const family of families) {
      stale.add(family);
      const drop = drops(family);
      sweep([family], (rib, row) => {
        const flags = rib.rowFlags[row]!;
        if (drop && (flags & STALE) !== 0) dropRow(rib, row);
        else rib.rowFlags[row] = flags | STALE;
      });
      finishSweep();
    }
  };

  const purge = (wanted: readonly FamilyNumber[], reason: string): void => {
    const families = wanted.filter((family) => stale.has(family));
    if (families.length === 0) return;
    forget(families);
    sweep(families, (rib, row) => {
      if ((rib.rowFlags[row]! & STALE) !== 0) dropRow(rib, row);
    });
    core.emit({ type: 'purged', peer: address, reason });
    core.schedule();
    onChange();
  };

  /**
   * RFC 9494 section 4.2: the last resort, said to be one by a community; routes that must not be one go. A term that runs already goes on
   * as it is: consecutive restarts do not prolong it.
   */
  const prolong = (family: FamilyNumber, seconds: number): void => {
    const made = new Map<number, number>();
    const stamped = (attr: number, rib: Rib): number => {
      let next = made.get(attr);
      if (next !== undefined) return next;
      const before = readAttributes(store, attr);
      const communities = [...new Set([...(before.communities ?? []), LLGR_STALE])];
      const tag = store.tag[attr] as Tag;
      next = keepAttributes(store, { ...before, communities }, nextHopBytes(store, attr), rib.family, tag);
      // The ids stay ours until the sweep is over.
      store.refs[attr]!++;
      made.set(attr, next);
      return next;
    };
    const visit = (rib: Rib, row: number): void => {
      if ((rib.rowFlags[row]! & STALE) === 0) return;
      const attr = rib.rowAttr[row]!;
      // Marked by the peer, or by the import policy.
      const marks = store.wellKnown[rib.rowIn[row]!]! | (attr < 0 ? 0 : store.wellKnown[attr]!);
      if ((marks & NO_LLGR_BIT) !== 0) {
        dropRow(rib, row);
        return;
      }
      if ((rib.rowFlags[row]! & LONG_STALE) !== 0) return;
      rib.rowFlags[row]! |= LONG_STALE;
      if (attr < 0) return;
      const next = stamped(attr, rib);
      if (next >= 0) store.refs[next]!++;
      rib.rowAttr[row] = next;
      release(store, attr);
      const prefix = rib.rowPrefix[row]!;
      settle(rib, prefix, rib.best[prefix] === row);
    };
    sweep([family], visit, () => {
      for (const [attr, next] of made) {
        release(store, attr);
        if (next >= 0) release(store, next);
      }
    });
    if (!long.has(family))
      long.set(
        family,
        after(seconds, () => purge([family], 'the peer did not come back within its long-lived stale time')),
      );
    core.emit({ type: 'stale', peer: address, reason: `IPv${family} routes kept as last resort for ${seconds} s` });
    core.schedule();
    onChange();
  };

  const close = (): void => {
    cancelTimer();
    forget(BOTH);
    sweep(BOTH, dropRow);
  };

  return {
    get active() {
      return stale.size > 0;
    },
    down(graceful) {
      cancelTimer();
      if (graceful === undefined) {
        close();
        return;
      }
      const { restartTime, longLived } = graceful;
      const term = (family: FamilyNumber): number => longLived.get(name(family))?.staleTime ?? 0;
      const short = restartTime > 0 ? graceful.families.map(familyNumber) : [];
      // A family of the long-lived capability alone counts as one with a restart time of 0 (RFC 9494 section 4.2).
      const kept = BOTH.filter((family) => short.includes(family) || term(family) > 0 || long.has(family));
      const dropped = BOTH.filter((family) => !kept.includes(family));
      forget(dropped);
      sweep(dropped, dropRow);
      if (kept.length === 0) return;
      // Not told again since the restart before: those go (RFC 4724 section 4.2), but not before their long term (RFC 9494 section 4.2).
      mark(kept, (family) => term(family) === 0 && !long.has(family));
      core.emit({ type: 'stale', peer: address, reason: `routes kept for ${restartTime} s` });
      for (const family of kept) if (!short.includes(family)) prolong(family, term(family));
      if (short.length === 0) return;
      cancelTimer = after(restartTime, () => {
        for (const family of short) {
          if (!stale.has(family)) continue;
          if (long.has(family) || term(family) > 0) prolong(family, term(family));
          else purge([family], 'the peer did not come back in time');
        }
      });
    },
    up(graceful, staleTime) {
      cancelTimer();
      finishSweep();
      const forwarded = (family: FamilyNumber): boolean =>
        long.has(family)
          ? graceful?.longLived.get(name(family))?.forwarding === true
          : graceful?.forwarding.includes(name(family)) === true;
      purge(
        BOTH.filter((family) => !forwarded(family)),
        'the peer did not keep its forwarding state',
      );
      // The long-lived timer goes on until End-of-RIB (RFC 9494 section 4.2).
      const waiting = [...stale].filter((family) => !long.has(family));
      if (waiting.length > 0) cancelTimer = after(staleTime, () => purge(waiting, 'no End-of-RIB in time'));
    },
    endOfRib(family) {
      purge([family], 'stale routes not announced again before End-of-RIB');
    },
    refreshBegins(family) {
      mark([family], () => false);
    },
    refreshEnds(family) {
      purge([family], 'not told again in a route refresh');
    },
    close() {
      close();
      finishSweep();
    },
  };
}

function name(family: FamilyNumber): UnicastFamily {
  return family === 4 ? 'ipv4-unicast' : 'ipv6-unicast';
}
