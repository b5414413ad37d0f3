/**
 * A batch of prefixes, announced or withdrawn by a session, applied to the RIB.
 * Stands between the readers of UPDATEs (intake.ts, intake-full.ts) and the table.
 */
import type { PrefixBatch } from '../message/prefixes.ts';
import { release } from './attribute-store.ts';
import { importSet } from './import-verdicts.ts';
import type { IntakeSession } from './intake-types.ts';
import { findPrefix, internPrefix } from './prefix-table.ts';
import type { Rib } from './table.ts';
import { dropRow, findRow, fitRib, putPath } from './table.ts';

/** Takes a batch of prefixes in with one set. */
export function announce(session: IntakeSession, rib: Rib, batch: PrefixBatch, attr: number): void {
  const table = rib.prefixes;
  const { words, lengths, pathIds } = batch;
  const perPrefix = session.importers[rib.family === 4 ? 0 : 1]?.readsPrefix === true;
  let imported = perPrefix ? -1 : importSet(session, attr, rib, -1);
  for (let row = 0; row < batch.count; row++) {
    const prefix =
      table.words === 1
        ? internPrefix(table, words[row]!, 0, 0, 0, lengths[row]!)
        : internPrefix(
            table,
            words[row * 4]!,
            words[row * 4 + 1]!,
            words[row * 4 + 2]!,
            words[row * 4 + 3]!,
            lengths[row]!,
          );
    if (prefix >= rib.prefixCapacity) fitRib(rib);
    if (perPrefix) imported = importSet(session, attr, rib, prefix);
    putPath(rib, session.peer, prefix, pathIds[row]!, attr, imported);
    if (perPrefix && imported >= 0) release(rib.store, imported);
  }
  if (!perPrefix && imported >= 0) release(rib.store, imported);
}

/** Drops the peer's paths to a batch of prefixes. */
export function withdraw(session: IntakeSession, rib: Rib, batch: PrefixBatch): void {
  if (batch.count === 0) return;
  const table = rib.prefixes;
  const { words, lengths, pathIds } = batch;
  for (let row = 0; row < batch.count; row++) {
    const prefix =
      table.words === 1
        ? findPrefix(table, words[row]!, 0, 0, 0, lengths[row]!)
        : findPrefix(
            table,
            words[row * 4]!,
            words[row * 4 + 1]!,
            words[row * 4 + 2]!,
            words[row * 4 + 3]!,
            lengths[row]!,
          );
    if (prefix < 0) continue;
    const path = findRow(rib, session.peer, prefix, pathIds[row]!);
    if (path >= 0) dropRow(rib, path);
  }
}
