/**
 * Joins policies written over values to the RIB's numbers.
 * A policy sees a lazily decoded route; what it changes is written back as another attribute set.
 */
import { addressToBytes, formatPrefix, parseAddress } from '../../net/index.ts';
import type { PathAttributes } from '../message/types.ts';
import { keepAttributes, nextHopText, readAttributes, ORIGINS } from '../rib/attributes.ts';
import type { AttributeStore, Tag } from '../rib/attribute-store.ts';
import { nextHopBytes, retain } from '../rib/attribute-store.ts';
import type { PolicyHook } from '../rib/group-types.ts';
import type { PrefixTable } from '../rib/prefix-table.ts';
import { prefixOf } from '../rib/prefix-table.ts';
import type { AttributeChanges, Policy, PolicyContext, PolicyRoute } from './types.ts';

/** Canonical text of a prefix by its id; empty for id -1. */
export function prefixText(table: PrefixTable, prefix: number): string {
  return prefix < 0 ? '' : formatPrefix(prefixOf(table, prefix));
}

/** Attributes with changes applied; those set to `null` are gone. */
export function applyChanges(attributes: PathAttributes, changes: AttributeChanges): PathAttributes {
  const { prepend, nextHop: _hop, med, localPref, ...rest } = changes;
  const next: Record<string, unknown> = { ...attributes };
  for (const [key, value] of Object.entries({ ...rest, med, localPref })) {
    if (value === null) delete next[key];
    else if (value !== undefined) next[key] = value;
  }
  if (prepend !== undefined && prepend.length > 0) {
    const path = attributes.asPath ?? [];
    const first = path[0];
    next['asPath'] =
      first?.type === 'sequence' && first.asns.length + prepend.length <= 255
        ? [{ type: 'sequence', asns: [...prepend, ...first.asns] }, ...path.slice(1)]
        : [{ type: 'sequence', asns: prepend }, ...path];
  }
  return next;
}

/** What a hook is made from. */
export interface HookOptions {
  readonly policy: Policy;
  readonly store: AttributeStore;
  readonly table: PrefixTable;
  readonly context: PolicyContext;
  /** Says where a path came from. */
  readonly sourceOf: (peer: number) => PolicyRoute['source'];
}

/** Makes the hook of a policy. */
export function createHook({ policy, store, table, context, sourceOf }: HookOptions): PolicyHook {
  const { family } = table;
  const { sets = [] } = policy;
  let keepMed = false;
  return {
    readsPrefix: (policy.readsPrefix ?? true) || sets.length > 0,
    sets,
    get keepMed() {
      return keepMed;
    },
    evaluate(attr, prefix, sourcePeer) {
      keepMed = false;
      let attributes: PathAttributes | undefined;
      const origin = ORIGINS[store.tag[attr]!];
      const route: PolicyRoute = {
        family,
        get prefix() {
          return prefixText(table, prefix);
        },
        get attributes() {
          return (attributes ??= readAttributes(store, attr));
        },
        get nextHop() {
          return nextHopText(store, attr);
        },
        ...(origin === undefined ? {} : { origin }),
        get source() {
          return sourceOf(sourcePeer);
        },
      };
      const verdict = policy.evaluate(route, context);
      if (verdict === false) return -1;
      if (verdict === true) {
        retain(store, attr);
        return attr;
      }
      keepMed = verdict.med !== undefined;
      const hop =
        verdict.nextHop === undefined ? nextHopBytes(store, attr) : addressToBytes(parseAddress(verdict.nextHop));
      return keepAttributes(store, applyChanges(route.attributes, verdict), hop, family, store.tag[attr] as Tag);
    },
  };
}
