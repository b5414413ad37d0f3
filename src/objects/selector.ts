/**
 * Label selectors (apimachinery's LabelSelector): reading them strictly and matching labels against them.
 * A selector with a part that cannot be understood is reported as invalid, with the understood parts kept; who reads it decides
 * which way is the safe one.
 */
import { isJson, note, show } from './fields.ts';
import type { Json, Report } from './fields.ts';
import { EMPTY_LIST, EMPTY_MAP, internMap } from './intern.ts';
import type { LabelSelector, StringMap } from './types.ts';

const QUALIFIED = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

/** A selector read, and whether every part of it was understood. */
export interface ReadSelector {
  readonly selector: LabelSelector;
  readonly valid: boolean;
}

/** The selector that selects everything. */
export const EVERYTHING: LabelSelector = Object.freeze({ matchLabels: EMPTY_MAP, matchExpressions: EMPTY_LIST });

/** Reads a selector. */
export function readSelector(report: Report, value: unknown, path: string): ReadSelector {
  if (value === undefined || value === null) return { selector: EVERYTHING, valid: true };
  if (!isJson(value)) {
    note(report, path, `${show(value)} is not a label selector`);
    return { selector: EVERYTHING, valid: false };
  }
  let valid = true;
  const wrong = (field: string, reason: string) => {
    note(report, field, reason);
    valid = false;
  };
  for (const key of Object.keys(value)) {
    if (key !== 'matchLabels' && key !== 'matchExpressions')
      wrong(`${path}.${key}`, 'is not a field of a label selector');
  }
  const matchLabels = readMatchLabels(value, path, wrong);
  const matchExpressions = readMatchExpressions(value, path, wrong);
  if (matchLabels === EMPTY_MAP && matchExpressions.length === 0) return { selector: EVERYTHING, valid };
  return { selector: Object.freeze({ matchLabels, matchExpressions }), valid };
}

type Wrong = (field: string, reason: string) => void;

function readMatchLabels(selector: Json, path: string, wrong: Wrong): StringMap {
  const value = selector['matchLabels'];
  if (value === undefined || value === null) return EMPTY_MAP;
  if (!isJson(value)) {
    wrong(`${path}.matchLabels`, `${show(value)} is not a map`);
    return EMPTY_MAP;
  }
  const labels: Record<string, string> = {};
  for (const key of Object.keys(value)) {
    const item = value[key];
    if (!QUALIFIED.test(key)) wrong(`${path}.matchLabels[${show(key)}]`, 'is not a label key');
    else if (typeof item !== 'string' || !VALUE.test(item))
      wrong(`${path}.matchLabels[${show(key)}]`, `${show(item)} is not a label value`);
    else labels[key] = item;
  }
  return internMap(labels);
}

function readMatchExpressions(selector: Json, path: string, wrong: Wrong): LabelSelector['matchExpressions'] {
  const value = selector['matchExpressions'];
  if (value === undefined || value === null) return EMPTY_LIST;
  if (!Array.isArray(value)) {
    wrong(`${path}.matchExpressions`, `${show(value)} is not a list`);
    return EMPTY_LIST;
  }
  const expressions: LabelSelector['matchExpressions'][number][] = [];
  value.forEach((item: unknown, index) => {
    const at = `${path}.matchExpressions[${index}]`;
    if (!isJson(item)) return wrong(at, `${show(item)} is not an expression`);
    const key = item['key'];
    const operator = OPERATORS.find((word) => word === item['operator']);
    const values: unknown = item['values'] ?? EMPTY_LIST;
    if (typeof key !== 'string' || !QUALIFIED.test(key)) return wrong(`${at}.key`, `${show(key)} is not a label key`);
    if (operator === undefined)
      return wrong(`${at}.operator`, `${show(item['operator'])} is none of ${OPERATORS.join(', ')}`);
    if (!Array.isArray(values) || !values.every((one) => typeof one === 'string' && VALUE.test(one)))
      return wrong(`${at}.values`, `${show(values)} is not a list of label values`);
    const wants = operator === 'In' || operator === 'NotIn';
    if (wants !== values.length > 0)
      return wrong(`${at}.values`, wants ? `${operator} needs values` : `${operator} takes no values`);
    expressions.push(Object.freeze({ key, operator, values: Object.freeze([...(values as string[])]) }));
  });
  return expressions.length === 0 ? EMPTY_LIST : Object.freeze(expressions);
}

/** Whether a selector selects an object with these labels; an absent label satisfies `NotIn` (apimachinery labels.Requirement). */
export function selectorMatches(selector: LabelSelector, labels: StringMap): boolean {
  for (const key of Object.keys(selector.matchLabels)) {
    if (!Object.hasOwn(labels, key) || labels[key] !== selector.matchLabels[key]) return false;
  }
  for (const { key, operator, values } of selector.matchExpressions) {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    const holds =
      operator === 'In'
        ? value !== undefined && values.includes(value)
        : operator === 'NotIn'
          ? value === undefined || !values.includes(value)
          : (value !== undefined) === (operator === 'Exists');
    if (!holds) return false;
  }
  return true;
}

/** Whether a plain map (a Service's `spec.selector`) selects these labels; an empty one selects nothing here. */
export function mapSelects(selector: StringMap, labels: StringMap): boolean {
  const keys = Object.keys(selector);
  return keys.length > 0 && keys.every((key) => Object.hasOwn(labels, key) && labels[key] === selector[key]);
}
