/**
 * What becomes of a received set on its way into the Loc-RIB: our own next hop and a wrong first AS are refused, the import policy is
 * asked, and its answer about a set is remembered while neither id changes hands.
 * Stands between intake.ts and the policies.
 */
import { capacityFor, growInt32, growUint32 } from './columns.ts';
import type { IntakeSession } from './intake-types.ts';
import type { Rib } from './table.ts';

/** Import verdicts by set, as columns: the set imported, -1 rejected or -2 unknown, valid while neither id changed hands. */
export interface Verdicts {
  result: Int32Array;
  generation: Uint32Array;
  resultGeneration: Uint32Array;
}

/** No verdicts yet. */
export function createVerdicts(): Verdicts {
  return { result: new Int32Array(0), generation: new Uint32Array(0), resultGeneration: new Uint32Array(0) };
}

/** Import verdict on a set: the set imported with a reference taken, -1 rejected. */
export function importSet(session: IntakeSession, attr: number, rib: Rib, prefix: number): number {
  const { store } = rib;
  if (session.ownNextHops.has(store.nextHops[store.nextHop[attr]!]!.key)) return -1;
  if (session.firstAs !== 0 && store.neighbourAs[attr] !== session.firstAs) return -1;
  const slot = rib.family === 4 ? 0 : 1;
  const importer = session.importers[slot];
  const imported = session.imported[slot];
  if (importer === undefined) {
    store.refs[attr]!++;
    return attr;
  }
  if (!importer.readsPrefix && attr < imported.result.length && imported.generation[attr] === store.generation[attr]) {
    const known = imported.result[attr]!;
    if (known === -1) return -1;
    if (known >= 0 && store.generation[known] === imported.resultGeneration[attr]) {
      store.refs[known]!++;
      return known;
    }
  }
  const result = importer.evaluate(attr, prefix, session.peer);
  if (!importer.readsPrefix) {
    if (attr >= imported.result.length) {
      const n = capacityFor(imported.result.length, store.size);
      imported.result = growInt32(imported.result, n, -2);
      imported.generation = growUint32(imported.generation, n);
      imported.resultGeneration = growUint32(imported.resultGeneration, n);
    }
    imported.result[attr] = result;
    imported.generation[attr] = store.generation[attr]!;
    if (result >= 0) imported.resultGeneration[attr] = store.generation[result]!;
  }
  return result;
}
