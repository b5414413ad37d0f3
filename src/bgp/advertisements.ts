/**
 * What this speaker originates: a full set comes in, the difference goes into the RIB.
 * One bad advertisement is named and left out; the others are announced.
 */
import { SdkError, formatPrefix, parsePrefix, tryParsePrefix } from '../net/index.ts';
import type { Advertisement, Issue } from '../net/values.ts';
import type { Core } from './core.ts';
import { prefixId } from './queries.ts';
import { release } from './rib/attribute-store.ts';
import { originate } from './rib/attributes.ts';
import { internPrefix } from './rib/prefix-table.ts';
import { dropRow, findRow, fitRib, putPath } from './rib/table.ts';

/** Takes full sets; returns what is wrong with the latest. */
export function createAdvertisements(core: Core): (advertisements: readonly Advertisement[]) => readonly Issue[] {
  /** Announced by us, by prefix, as text that tells two advertisements apart. */
  let announced = new Map<string, string>();

  const put = (prefix: ReturnType<typeof parsePrefix>, one: Advertisement): void => {
    const rib = core.ribOf(prefix.family);
    const attr = originate(core.store, one, prefix.family);
    const id =
      prefix.family === 4
        ? internPrefix(rib.prefixes, prefix.value, 0, 0, 0, prefix.length)
        : internPrefix(rib.prefixes, ...prefix.words, prefix.length);
    fitRib(rib);
    putPath(rib, 0, id, 0, attr, attr);
    release(core.store, attr);
  };

  const drop = (text: string): void => {
    const prefix = parsePrefix(text);
    const rib = core.ribOf(prefix.family);
    const id = prefixId(rib, prefix);
    const row = id < 0 ? -1 : findRow(rib, 0, id, 0);
    if (row >= 0) dropRow(rib, row);
  };

  return (advertisements) => {
    const next = new Map<string, string>();
    const issues: Issue[] = [];
    for (const one of advertisements) {
      const object = one.owners?.[0] ?? `Advertisement ${one.prefix}`;
      const refuse = (field: string, reason: string): void => void issues.push({ object, field, reason });
      const prefix = tryParsePrefix(one.prefix);
      if (prefix === undefined) {
        refuse('prefix', `${JSON.stringify(one.prefix)} is no canonical prefix; it is not announced`);
        continue;
      }
      const canonical = formatPrefix(prefix);
      if (next.has(canonical)) {
        refuse('prefix', `${canonical} is advertised twice; the first one stands`);
        continue;
      }
      const key = JSON.stringify([one.nextHop, one.attributes, one.origin]);
      next.set(canonical, key);
      if (announced.get(canonical) === key) continue;
      try {
        put(prefix, one);
      } catch (error) {
        next.delete(canonical);
        const path = error instanceof SdkError ? error.details['path'] : undefined;
        const reason = error instanceof Error ? error.message : String(error);
        refuse(typeof path === 'string' ? path : 'attributes', `${reason}; it is not announced`);
      }
    }
    for (const prefix of announced.keys()) if (!next.has(prefix)) drop(prefix);
    announced = next;
    core.schedule();
    return issues;
  };
}
