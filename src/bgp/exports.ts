/**
 * Update groups by what peers have in common: made with the first member, gone with the last.
 * Stands between the RIB and the sessions; the speaker runs `work` once a turn.
 */
import type { ExportSettings } from './rib/export-attributes.ts';
import type { ExportGroup, Member, PolicyHook } from './rib/group-types.ts';
import { createExportGroup } from './rib/group.ts';
import { createPathGroup } from './rib/path-group.ts';
import { createPace } from './pace.ts';
import type { Rib } from './rib/table.ts';

/** How a member's group is to be. */
export interface GroupSpec {
  readonly rib: Rib;
  readonly settings: ExportSettings;
  readonly policy: PolicyHook | undefined;
  /** Tells policies apart. */
  readonly policyKey: string;
  readonly translate: ((attr: number) => number) | undefined;
  readonly maxLength: number;
  /** Paths a prefix; 0: peers take no path identifiers. */
  readonly paths: number;
}

/** All update groups. */
export interface Exports {
  join(spec: GroupSpec, member: Member): ExportGroup;
  leave(group: ExportGroup, peer: number): void;
  /**
   * Evaluates everything anew under the policies of now: members that are still told the same stay together, others part with what they
   * were told, so that only differences are sent. `affected`: only groups in which one of these peers sits.
   */
  regroup(
    specOf: (peer: number, family: 4 | 6) => GroupSpec,
    moved: (peer: number, group: ExportGroup) => void,
    affected?: ReadonlySet<number>,
  ): void;
  /** Queues a prefix; `bestChanged` false: only for peers that take several paths. */
  mark(rib: Rib, prefix: number, bestChanged: boolean): void;
  /** Has the groups whose policy looks into a set judge a prefix anew. */
  retell(rib: Rib, prefix: number, set: unknown): void;
  /** Encodes and sends what is queued, in slices for so many milliseconds; returns whether there is more to do now. */
  work(now: () => number, ms: number): boolean;
  /** Whether a prefix may not be forgotten yet. */
  needed(rib: Rib): (prefix: number) => boolean;
  readonly groups: Iterable<ExportGroup>;
}

/** Prefixes that one group handles at a time, for how many milliseconds about, and so often at most in one turn. */
const LEAST = 512;
const MOST = 4096;
const SLICE_MS = 2;
const ROUNDS = 16;

function keyOf(spec: GroupSpec): string {
  const { settings } = spec;
  const hop = settings.nextHop === undefined ? '' : [...settings.nextHop].join('.');
  return JSON.stringify([
    spec.rib.family,
    settings,
    hop,
    spec.policyKey,
    spec.translate !== undefined,
    spec.maxLength,
    spec.paths,
  ]);
}

/** Makes {@link Exports}. */
export function createExports(): Exports {
  const groups = new Map<string, ExportGroup>();
  const several = new Set<ExportGroup>();
  let next = 0;
  const pace = createPace(LEAST, MOST, SLICE_MS);
  let list4: readonly ExportGroup[] = [];
  let list6: readonly ExportGroup[] = [];
  const refill = (): void => {
    list4 = [...groups.values()].filter((group) => group.rib.family === 4);
    list6 = [...groups.values()].filter((group) => group.rib.family === 6);
  };
  return {
    join(spec, member) {
      const key = keyOf(spec);
      let group = groups.get(key);
      if (group === undefined) {
        group = spec.paths > 0 ? createPathGroup({ ...spec, limit: spec.paths }) : createExportGroup(spec);
        if (spec.paths > 0) several.add(group);
        groups.set(key, group);
        refill();
      }
      group.join(member);
      return group;
    },
    leave(group, peer) {
      group.leave(peer);
      if (group.members.length > 0) return;
      for (const [key, one] of groups) if (one === group) groups.delete(key);
      several.delete(group);
      refill();
      group.close();
    },
    regroup(specOf, moved, affected) {
      const touched = (group: ExportGroup): boolean =>
        affected === undefined || group.members.some(({ peer }) => affected.has(peer));
      const before = [...groups.values()].filter(touched);
      for (const [key, group] of [...groups]) if (touched(group)) groups.delete(key);
      // Groups that have become alike stay apart: each knows what its own members were told.
      const keep = (key: string, group: ExportGroup): void => {
        let free = key;
        while (groups.has(free)) free += '+';
        groups.set(free, group);
      };
      for (const group of before) {
        const parts = new Map<string, { readonly spec: GroupSpec; readonly peers: number[] }>();
        for (const { peer } of group.members) {
          const spec = specOf(peer, group.rib.family);
          const key = keyOf(spec);
          const part = parts.get(key);
          if (part === undefined) parts.set(key, { spec, peers: [peer] });
          else part.peers.push(peer);
        }
        const [first, ...others] = parts;
        for (const [key, { spec, peers }] of others) {
          const part = group.split(peers, spec.policy);
          if (spec.paths > 0) several.add(part);
          keep(key, part);
          for (const peer of peers) moved(peer, part);
        }
        if (first === undefined) continue;
        group.setPolicy(first[1].spec.policy);
        keep(first[0], group);
      }
      refill();
    },
    mark(rib, prefix, bestChanged) {
      if (!bestChanged) {
        for (const group of several) if (group.rib === rib) group.mark(prefix);
        return;
      }
      const list = rib.family === 4 ? list4 : list6;
      for (let index = 0; index < list.length; index++) list[index]!.mark(prefix);
    },
    retell(rib, prefix, set) {
      for (const group of rib.family === 4 ? list4 : list6)
        if (group.policy?.sets.includes(set) === true) group.mark(prefix);
    },
    work(now, ms) {
      const all = [...groups.values()];
      const end = now() + ms;
      let more = true;
      for (let round = 0; more && round < ROUNDS; round++) {
        more = false;
        for (let count = 0; count < all.length; count++) {
          // Whose turn it was when it became late begins the next.
          const group = all[next++ % all.length]!;
          const began = now();
          if (group.flush(pace.amount)) more = true;
          if (group.resync(pace.amount)) more = true;
          const ended = now();
          pace.took(ended - began);
          if (ended >= end) return more || count + 1 < all.length;
        }
      }
      return more;
    },
    needed(rib) {
      const list = rib.family === 4 ? list4 : list6;
      return (prefix) => {
        for (const group of list) if (group.needs(prefix)) return true;
        return false;
      };
    },
    get groups() {
      return groups.values();
    },
  };
}
