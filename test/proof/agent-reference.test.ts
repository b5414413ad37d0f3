/**
 * The contracts of the agent against kube-router's own reference, a Markdown file whose tables name every flag, annotation and
 * metric: nothing of it is missing here, nothing is different but what is listed as a deviation. The file is foreign; `REFERENCE`
 * says where it is.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { annotationContract } from '../../examples/agent/contract/annotations.ts';
import { flagContract } from '../../examples/agent/contract/flags.ts';
import { metricContract } from '../../examples/agent/contract/metrics.ts';
import { helpText } from '../../examples/agent/src/flags/command-line.ts';
import { flagSpec } from '../../examples/agent/src/flags/table.ts';
import { parseDuration } from '../../examples/agent/src/flags/values.ts';

const path =
  process.env['REFERENCE'] ?? fileURLToPath(new URL('../../../shared/kube-router-reference.md', import.meta.url));
const text = read();

function read(): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    throw new Error(`${path} is missing: set REFERENCE to kube-router's reference`);
  }
}

/** A section such as `(a)`, up to the next. */
function section(letter: string): string {
  const from = text.indexOf(`\n## (${letter})`);
  const to = text.indexOf('\n## (', from + 5);
  return text.slice(from, to);
}

/** Cells of every table row. */
const rows = (part: string): string[][] =>
  part
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[-\s|]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf('|'))
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
const names = (cell: string, form: RegExp): string[] => [...cell.matchAll(form)].map((match) => match[1] ?? '');

/** Each flag with the text of its default. */
const flags = rows(section('a')).flatMap(([first = '', second = '']) => {
  const found = names(first, /`--([a-z0-9-]+)`/g);
  const [, one = '', times] = /^(.*?)\s*×(\d+)$/.exec(second) ?? [];
  const given =
    times === undefined ? second.split(/\s*,\s*(?![^[]*\])|\s+\/\s+/) : Array<string>(Number(times)).fill(one);
  return found.map((name, index) => [name, given.length === found.length ? (given[index] ?? '') : second] as const);
});

/** Defaults that differ on purpose: what kube-router has, and why it is another here is in docs/migration.md. */
const deviations = new Map([['ipvs-graceful-termination', 'false']]);
/** What the reference's table writes as nothing. */
const noDefault = new Set(['version', 'help']);

/** The default as the table writes it, as a value. */
function value(name: string, shown: string): unknown {
  const word = shown
    .replace(/\s*\(.*\)$/, '')
    .replace(/\s*→.*$/, '')
    .replaceAll('`', '')
    .trim();
  const { default: ours, metavar } = flagSpec(name as never);
  if (word === '""' || word === '') return '';
  if (metavar === 'duration') return parseDuration(word === '0' ? '0s' : word);
  if (Array.isArray(ours))
    return word
      .slice(1, -1)
      .split(',')
      .filter((item) => item !== '');
  const plain = word.replaceAll('"', '');
  if (typeof ours === 'number') return Number(plain);
  return typeof ours === 'boolean' ? plain === 'true' : plain;
}

test('79 flags in the reference, the same 79 in the contract and in --help', () => {
  const named = [...new Set(flags.map(([name]) => name))].sort();
  expect(named).toHaveLength(79);
  expect(flagContract.map(([name]) => name).sort()).toEqual(named);
  const help = helpText();
  for (const name of named) expect(help, name).toMatch(new RegExp(`--${name}\\b`));
});

describe('defaults', () => {
  test.each(flags.filter(([name]) => !noDefault.has(name)))('--%s: %s', (name, shown) => {
    const contract = flagContract.find(([one]) => one === name);
    const expected = value(name, shown);
    if (deviations.has(name)) {
      expect(String(expected)).toBe(deviations.get(name));
      expect(contract?.[1]).not.toEqual(expected);
    } else expect(contract?.[1]).toEqual(expected);
  });
});

test('26 annotation keys in the reference, the same in the contract', () => {
  const keys = rows(section('b')).flatMap(([first = '']) => {
    const found = names(first, /`([^`]+)`/g).filter((key) => !key.startsWith('service.kubernetes.io/'));
    return found.map((key) => (key.startsWith('kube-router.io/') ? key : `kube-router.io/${key}`));
  });
  expect([...new Set(keys)]).toHaveLength(26);
  expect(annotationContract.map(({ key }) => key).sort()).toEqual([...new Set(keys)].sort());
});

test('every metric of the reference with its labels', () => {
  const table = rows(section('g')).filter(([first]) => first !== 'metric');
  const found = table.flatMap(([first = '', second = '']) => {
    const labels = /\{([^}]*)\}/.exec(second)?.[1] ?? '';
    const words = labels
      .replace(/=.*$/, '')
      .split(',')
      .map((label) => label.trim())
      .filter((label) => label !== '');
    return first
      .split(/\s*[,/]\s*/)
      .map((name) => [name, second.includes('same labels') ? 'same' : words.join(' ')] as const);
  });
  expect(found.length).toBeGreaterThanOrEqual(33);
  const contract = new Map(metricContract.map(([name, , labels]) => [name, labels]));
  expect([...contract.keys()].sort()).toEqual(found.map(([name]) => name).sort());
  for (const [name, labels] of found) {
    const expected = labels === 'same' ? 'svc_namespace service_name service_vip protocol port' : labels;
    expect(contract.get(name), name).toBe(expected);
  }
});
