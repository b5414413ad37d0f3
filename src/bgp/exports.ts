/**
 * Update groups by what peers have in common: made with the first member, gone with the last.
 * Stands between the RIB and the sessions; the speaker runs `work` once a turn.
 */
import type { ExportSettings } from './rib/export-attributes.ts';
import type { ExportGroup, Member, PolicyHook } from './rib/group.ts';
import { createExportGroup } from './rib/group.ts';
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
  readonly addPath: boolean;
}

/** All update groups. */
export interface Exports {
  join(spec: GroupSpec, member: Member): ExportGroup;
  leave(group: ExportGroup, peer: number): void;
  mark(rib: Rib, prefix: number): void;
  /** Encodes and sends what is queued, in slices; returns whether there is more to do now. */
  work(): boolean;
  /** Whether a prefix may not be forgotten yet. */
  needs(rib: Rib, prefix: number): boolean;
  readonly groups: Iterable<ExportGroup>;
}

/** Prefixes that one group handles in one turn. */
const SLICE = 8192;

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
    spec.addPath,
  ]);
}

/** Makes {@link Exports}. */
export function createExports(): Exports {
  const groups = new Map<string, ExportGroup>();
  const lists = new Map<Rib, ExportGroup[]>();
  const refill = (): void => {
    lists.clear();
    for (const group of groups.values()) lists.set(group.rib, [...(lists.get(group.rib) ?? []), group]);
  };
  return {
    join(spec, member) {
      const key = keyOf(spec);
      let group = groups.get(key);
      if (group === undefined) {
        group = createExportGroup(spec);
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
      refill();
      group.close();
    },
    mark(rib, prefix) {
      const list = lists.get(rib);
      if (list !== undefined) for (const group of list) group.mark(prefix);
    },
    work() {
      let more = false;
      for (const group of groups.values()) {
        if (group.flush(SLICE)) more = true;
        if (group.resync(SLICE * 2)) more = true;
      }
      return more;
    },
    needs: (rib, prefix) => lists.get(rib)?.some((group) => group.needs(prefix)) ?? false,
    get groups() {
      return groups.values();
    },
  };
}
