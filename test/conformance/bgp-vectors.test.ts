import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { explained } from './bgp-vector-differences.ts';
import { compareWithDump, compareWithJson, judge, type Vector } from './bgp-vectors.ts';

// Vectors of other projects stay under their own licences, outside this repository.
const folder = process.env['BGP_VECTORS'] ?? resolve(import.meta.dirname, '../../../shared/bgp-vectors');
const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.jsonl')) : [];

if (files.length === 0) {
  const text = `NOT RUN: BGP vectors of other projects: ${folder} has none; set BGP_VECTORS to their folder`;
  // A proof that leaves them out proves nothing.
  if (process.env['PROOF'] === '1') throw new Error(text);
  console.warn(text);
}

const COLUMNS = ['vectors', 'agree', 'survive', 'explained', 'same octets', 'equal value'] as const;
const rows: string[][] = [];

afterAll(() => {
  if (rows.length === 0) return;
  const sums = COLUMNS.map((_, index) => String(rows.reduce((sum, row) => sum + Number(row[index + 1]), 0)));
  const table = [['file', ...COLUMNS], ...rows, ['all', ...sums]];
  const widths = table[0]?.map((_, index) => Math.max(...table.map((row) => row[index]?.length ?? 0))) ?? [];
  console.log(table.map((row) => row.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ')).join('\n'));
});

function inOrder(path: string): string {
  return path.replace(/([{[])([\d,]+)([}\]])/g, (_all, open: string, list: string, close: string) => {
    const numbers = [...new Set(list.split(','))].sort((a, b) => Number(a) - Number(b));
    return `${open}${numbers.join(',')}${close}`;
  });
}

describe.skipIf(files.length === 0)('BGP vectors of other projects', () => {
  it.each(files.sort())('%s', (file) => {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n');
    const vectors = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Vector);
    const counts = { agrees: 0, survived: 0, explained: 0, same: 0, equal: 0 };
    const wrong: string[] = [];
    for (const vector of vectors) {
      const { verdict, again, note, text } = judge(vector);
      const reason = explained.get(vector.id);
      if (verdict === 'differs') {
        if (reason === undefined) wrong.push(`${vector.id}: wants ${vector.expect}, got ${note} ${again ?? ''}`);
        counts.explained++;
      } else {
        if (reason !== undefined) wrong.push(`${vector.id}: agrees, but is explained as a difference`);
        counts[verdict]++;
      }
      if (again === 'same' || again === 'equal') counts[again]++;
      const misread = compareWithDump(vector) ?? compareWithJson(vector);
      if (misread !== undefined) wrong.push(`${vector.id}: ${misread}`);
      const meant = (vector.meaning as { text?: unknown } | undefined)?.text;
      if (
        vector.kind === 'as-path' &&
        typeof meant === 'string' &&
        text !== undefined &&
        /^[\d {}(),[\]]*$/.test(meant)
      ) {
        // FRR prints sets in order and each number once.
        if (inOrder(text) !== inOrder(meant)) wrong.push(`${vector.id}: reads "${meant}", got "${text}"`);
      }
    }
    const { agrees, survived, explained: differ, same, equal } = counts;
    rows.push([file, ...[vectors.length, agrees, survived, differ, same, equal].map(String)]);
    expect(wrong).toEqual([]);
  });
});
