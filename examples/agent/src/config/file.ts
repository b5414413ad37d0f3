/**
 * The configuration file: YAML whose keys are flag names (`cluster-asn` or `clusterAsn`) and what no flag can say, such as
 * address pools. Everything wrong is reported by place, `file:line:column`. Its JSON Schema is made from the same table.
 */
import { SdkError } from 'kube-router-sdk/net';
import * as v from 'valibot';
import { LineCounter, isMap, isScalar, isSeq, parseDocument, type Node } from 'yaml';
import { commandLineOnly, flagNames, flagSpec, isFlagName, type FlagName } from '../flags/table.ts';

const selector = v.strictObject({
  matchLabels: v.optional(v.record(v.string(), v.string()), {}),
  matchExpressions: v.optional(
    v.array(
      v.strictObject({
        key: v.string(),
        operator: v.picklist(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: v.optional(v.array(v.string()), []),
      }),
    ),
    [],
  ),
});

const pool = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'a pool name is a lower-case DNS label')),
  cidrs: v.optional(v.array(v.string()), []),
  ranges: v.optional(v.array(v.string()), []),
  families: v.optional(v.array(v.picklist([4, 6]))),
  autoAssign: v.optional(v.boolean(), true),
  namespaceSelector: v.optional(selector),
  serviceSelector: v.optional(selector),
});

const loadBalancer = v.strictObject({ pools: v.optional(v.array(pool), []) });

/** One address pool of the file, defaults filled in. */
export type PoolConfig = v.InferOutput<typeof pool>;

/** What a configuration file says. */
export interface FileConfig {
  /** Texts a flag, with the place of each. */
  readonly given: ReadonlyMap<FlagName, { readonly texts: readonly string[]; readonly place: string }>;
  readonly pools: readonly PoolConfig[];
}

const kebab = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const camel = (name: string): string => name.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/**
 * Reads the text of a configuration file.
 * @throws SdkError `INVALID_OPTION`, naming `file:line:column`
 */
export function parseConfigFile(text: string, file: string): FileConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const fail = (place: string, reason: string): never => {
    throw new SdkError(`${place}: ${reason}`, { code: 'INVALID_OPTION', details: { path: place } });
  };
  const [broken] = document.errors;
  if (broken !== undefined) return fail(at(broken.pos[0]), broken.message.split('\n')[0] ?? 'not YAML');
  const given = new Map<FlagName, { texts: readonly string[]; place: string }>();
  let pools: readonly PoolConfig[] = [];
  const root = document.contents;
  if (root === null) return { given, pools };
  if (!isMap(root)) return fail(at(0), 'the file is not a mapping of flag names to values');
  for (const { key, value } of root.items) {
    const keyNode = key as Node;
    const place = at(keyNode.range?.[0] ?? 0);
    const word = isScalar(keyNode) ? String(keyNode.value) : '';
    const node = value as Node | null;
    if (word === 'loadBalancer') {
      const read = v.safeParse(loadBalancer, (node ?? document.createNode({})).toJS(document));
      if (!read.success) {
        const issue = read.issues[0];
        const path = issue.path?.map((part) => String(part.key)) ?? [];
        const inner = document.getIn(
          ['loadBalancer', ...path.map((part) => (/^\d+$/.test(part) ? Number(part) : part))],
          true,
        ) as Node | undefined;
        return fail(
          at(inner?.range?.[0] ?? keyNode.range?.[0] ?? 0),
          `${['loadBalancer', ...path].join('.')}: ${issue.message}`,
        );
      }
      pools = read.output.pools;
      continue;
    }
    const name = kebab(word);
    if (!isFlagName(name) || commandLineOnly.has(name)) return fail(place, `'${word}' is not a configuration key`);
    if (given.has(name)) return fail(place, `'${word}' is set twice`);
    const valuePlace = at(node?.range?.[0] ?? keyNode.range?.[0] ?? 0);
    const texts = scalarTexts(node);
    if (texts === undefined)
      return fail(valuePlace, `${word}: expected ${flagSpec(name).list ? 'a list' : 'one value'}`);
    if (texts.length > 1 && !flagSpec(name).list) return fail(valuePlace, `${word}: expected one value`);
    given.set(name, { texts, place: valuePlace });
  }
  return { given, pools };
}

function scalarTexts(node: Node | null): string[] | undefined {
  if (isScalar(node) && node.value !== null) return [node.source ?? ''];
  if (!isSeq(node)) return undefined;
  const texts: string[] = [];
  for (const item of node.items) {
    if (!isScalar(item) || item.value === null) return undefined;
    texts.push(item.source ?? '');
  }
  return texts;
}

/** The published JSON Schema of the file. */
export function configSchema(): Readonly<Record<string, unknown>> {
  const properties: Record<string, unknown> = {};
  for (const name of flagNames) {
    if (commandLineOnly.has(name)) continue;
    const spec = flagSpec(name);
    const schema = {
      description: spec.help,
      ...spec.schema,
      ...(spec.secret === true ? {} : { default: plain(spec) }),
    };
    properties[name] = schema;
    if (camel(name) !== name) properties[camel(name)] = { $ref: `#/properties/${name}` };
  }
  const labels = { type: 'object', additionalProperties: { type: 'string' } };
  const strings = { type: 'array', items: { type: 'string' } };
  const selectorSchema = {
    type: 'object',
    additionalProperties: false,
    properties: {
      matchLabels: labels,
      matchExpressions: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['key', 'operator'],
          properties: {
            key: { type: 'string' },
            operator: { enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
            values: strings,
          },
        },
      },
    },
  };
  properties['loadBalancer'] = {
    type: 'object',
    additionalProperties: false,
    description: 'LoadBalancer addresses.',
    properties: {
      pools: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['name'],
          properties: {
            name: { type: 'string', pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' },
            cidrs: strings,
            ranges: strings,
            families: { type: 'array', items: { enum: [4, 6] } },
            autoAssign: { type: 'boolean', default: true },
            namespaceSelector: selectorSchema,
            serviceSelector: selectorSchema,
          },
        },
      },
    },
  };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'kube-router-agent configuration',
    type: 'object',
    additionalProperties: false,
    properties,
  };
}

/** A default as YAML would hold it. */
function plain(spec: ReturnType<typeof flagSpec>): unknown {
  return typeof spec.default === 'number' && spec.metavar === 'duration' ? spec.format(spec.default) : spec.default;
}
