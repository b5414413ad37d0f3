/**
 * Kubernetes YAML and JSON text to objects, document by document, every problem with its file:line:column.
 * The text is cut at the document markers before it is parsed: a broken document cannot swallow the next one.
 * Pure text work; manifests.ts reads and watches the files.
 */
import { LineCounter, isNode, isPair, isScalar, isSeq, isMap, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';
import type { Issue } from '../net/values.ts';
import { show } from '../objects/fields.ts';
import { KINDS, isObjectKind, objectKey, project } from '../objects/index.ts';
import type { ObjectKind, ObjectKinds } from '../objects/types.ts';

/** One object that a file declares. */
export interface ManifestObject {
  readonly kind: ObjectKind;
  readonly key: string;
  /** Absent when it has a name and cannot be used otherwise. */
  readonly object?: ObjectKinds[ObjectKind];
  /** Problems of this object, with their places. */
  readonly issues: readonly Issue[];
  /** `file:line:column` of the object. */
  readonly source: string;
  /** The last version of it that had no issue; set by who follows the file. */
  readonly good?: ObjectKinds[ObjectKind];
}

/** What a file says. */
export interface ManifestFile {
  readonly objects: readonly ManifestObject[];
  /** Problems that no object can be named for. */
  readonly issues: readonly Issue[];
}

/** Reads the documents of one file. Never throws. */
export function readDocuments(text: string, file: string): ManifestFile {
  const objects: ManifestObject[] = [];
  const issues: Issue[] = [];
  for (const piece of splitDocuments(text)) readPiece(piece, file, objects, issues);
  return { objects, issues };
}

interface Piece {
  readonly text: string;
  /** Lines before it in the file. */
  readonly line: number;
}

const isContent = (line: string) => line.trim() !== '' && !line.trimStart().startsWith('#');

/** `---` and `...` at the start of a line end a document wherever they stand, also within quotes (YAML 1.2 section 9.1.2). */
function splitDocuments(text: string): Piece[] {
  const pieces: Piece[] = [];
  let lines: string[] = [];
  let first = 0;
  const all = text.replace(/^\uFEFF/, '').split('\n');
  const end = (next: number) => {
    if (lines.some(isContent)) pieces.push({ text: lines.join('\n'), line: first });
    lines = [];
    first = next;
  };
  for (const [index, line] of all.entries()) {
    if (/^---(\s|$)/.test(line)) {
      end(index);
      // What follows the marker on its line belongs to the document and keeps its column.
      lines.push(`   ${line.slice(3)}`);
    } else if (/^\.\.\.(\s|$)/.test(line)) end(index + 1);
    else if (line.startsWith('%') && !lines.some(isContent)) lines.push('');
    else lines.push(line);
  }
  end(all.length);
  return pieces;
}

/** Finds where a field stands in the text. */
type Locate = (path: string) => string;

function readPiece(piece: Piece, file: string, objects: ManifestObject[], issues: Issue[]): void {
  const quick = parseJson(piece.text);
  let tree: { document: Document; counter: LineCounter } | undefined;
  const parse = () => {
    if (tree !== undefined) return tree;
    const counter = new LineCounter();
    const document = parseDocument(piece.text, {
      lineCounter: counter,
      prettyErrors: false,
      maxAliasCount: 100,
      // what is odd but readable is no concern of whoever reads standard error
      logLevel: 'error',
    } as never);
    return (tree = { document, counter });
  };
  const at = (offset: number) => {
    const { line, col } = parse().counter.linePos(offset);
    return `${file}:${line + piece.line}:${col}`;
  };
  const locate: Locate = (path) => at(offsetOf(parse().document, path));

  const start = `${file}:${piece.line + 1}:1`;

  if (quick !== undefined) return readValue(quick.value, '', file, locate, start, objects, issues);
  const { document } = parse();
  let value: unknown;
  let problem = document.errors[0] as { message: string; pos: [number, number] } | undefined;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    problem ??= { message: error instanceof Error ? error.message : String(error), pos: [0, 0] };
  }
  if (problem === undefined) return readValue(value, '', file, locate, start, objects, issues);
  const language = file.endsWith('.json') ? 'JSON' : 'YAML';
  const reason = `is not valid ${language}: ${problem.message.split('\n')[0]}; the document is ignored`;
  const source = at(problem.pos[0]);
  const known = identityOf(value);
  if (known === undefined) issues.push({ object: `Manifest ${file}`, field: '', reason, source });
  else
    objects.push({ ...known, issues: [{ object: `${known.kind} ${known.key}`, field: '', reason, source }], source });
}

function parseJson(text: string): { value: unknown } | undefined {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

/** Kind and key of what could be read of a broken document, so that its last good version can be told. */
function identityOf(value: unknown): { kind: ObjectKind; key: string } | undefined {
  if (!isRecord(value) || !isObjectKind(value['kind']) || !isRecord(value['metadata'])) return undefined;
  const { name, namespace } = value['metadata'];
  if (typeof name !== 'string' || name === '') return undefined;
  const own = KINDS[value['kind']].namespaced ? (typeof namespace === 'string' ? namespace : 'default') : '';
  return { kind: value['kind'], key: objectKey({ namespace: own, name }) };
}

function readValue(
  value: unknown,
  path: string,
  file: string,
  locate: Locate,
  start: string,
  objects: ManifestObject[],
  issues: Issue[],
): void {
  if (value === null || value === undefined) return;
  const wrong = (field: string, reason: string) =>
    issues.push({ object: `Manifest ${file}`, field: join(path, field), reason, source: locate(join(path, field)) });
  if (!isRecord(value)) return void wrong('', 'is not a Kubernetes object; the document is ignored');
  const { kind, apiVersion } = value;
  if (typeof kind !== 'string' || kind === '')
    return void wrong('kind', 'is missing or no string; the object is ignored');
  if (typeof apiVersion !== 'string' || apiVersion === '')
    return void wrong('apiVersion', 'is missing or no string; the object is ignored');
  if (kind.endsWith('List') && (Array.isArray(value['items']) || kind === 'List')) {
    if (!Array.isArray(value['items'])) return void wrong('items', 'is not a list; the document is ignored');
    const own = kind.slice(0, -4);
    value['items'].forEach((item: unknown, index) => {
      // The API's typed lists leave kind and version to the list.
      const full = isRecord(item) && own !== '' ? { kind: own, apiVersion, ...item } : item;
      readValue(full, join(path, `items[${index}]`), file, locate, start, objects, issues);
    });
    return;
  }
  if (!isObjectKind(kind)) return;
  const wanted = KINDS[kind].apiVersion;
  if (apiVersion !== wanted) {
    // The same name in another group is another kind: not ours, and no mistake.
    const legacy = kind === 'NetworkPolicy' && apiVersion.startsWith('extensions/');
    if (legacy || groupOf(apiVersion) === groupOf(wanted))
      wrong('apiVersion', `${show(apiVersion)} is not served, ${wanted} is; the ${kind} is ignored`);
    return;
  }
  const { object, issues: found } = project(kind, value);
  const placed = found.map((issue) => ({ ...issue, source: locate(join(path, issue.field)) }));
  const identity = object === undefined ? identityOf(value) : { kind, key: objectKey(object) };
  if (identity === undefined) issues.push(...placed);
  else
    objects.push({
      ...identity,
      ...(object === undefined ? {} : { object }),
      issues: placed,
      // without an issue nobody asks for more than where its document begins, which costs no parsing
      source: placed.length === 0 ? start : locate(path),
    });
}

const groupOf = (apiVersion: string) => apiVersion.slice(0, Math.max(0, apiVersion.lastIndexOf('/')));
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const join = (path: string, field: string) =>
  path === '' ? field : field === '' ? path : field.startsWith('[') ? path + field : `${path}.${field}`;

/** `spec.ports[0].port`, with map keys that are no identifiers as `labels["a/b"]`. */
function stepsOf(path: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const [, name, index, quoted] of path.matchAll(/([^.[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]/g)) {
    if (index !== undefined) steps.push(Number(index));
    else if (quoted !== undefined) steps.push(JSON.parse(`"${quoted}"`) as string);
    else if (name !== undefined) steps.push(name);
  }
  return steps;
}

/** Offset of the field's key, or of the deepest part of its path that is there. */
function offsetOf(document: Document, path: string): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const step of stepsOf(path)) {
    if (isMap(node)) {
      const pair = node.items.find(
        (one) => isPair(one) && (isScalar(one.key) ? String(one.key.value) : '') === String(step),
      );
      if (pair === undefined) break;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      offset = startOf(node) ?? offset;
    } else break;
  }
  return offset;
}

const startOf = (node: unknown): number | undefined => (isNode(node) ? (node as Node).range?.[0] : undefined);
