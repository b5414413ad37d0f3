/**
 * The API's label selector as text, `app=web,tier in (a,b),!old`, to a function.
 * For sources that have no server to select for them, and for the test API server.
 */
import { SdkError } from '../net/errors.ts';
import type { StringMap } from '../objects/types.ts';

type Matches = (labels: StringMap) => boolean;

/**
 * Compiles a label selector (apimachinery labels.Parse).
 * @throws SdkError `INVALID_OPTION` when the text is no selector.
 */
export function parseLabelSelector(text: string): Matches {
  const requirements = splitTop(text).map((part) => parseRequirement(part.trim(), text));
  return (labels) => requirements.every((requirement) => requirement(labels));
}

/** Splits at commas outside of parentheses. */
function splitTop(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')') depth--;
    else if (text[at] === ',' && depth === 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts.length === 1 && parts[0]?.trim() === '' ? [] : parts;
}

const KEY = '[A-Za-z0-9][-A-Za-z0-9_./]*';
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const EQUAL = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`);
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`);

function parseRequirement(part: string, whole: string): Matches {
  const valueOf = (labels: StringMap, key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  const equal = EQUAL.exec(part);
  if (equal !== null) {
    const [, key = '', operator, wanted = ''] = equal;
    return operator === '!='
      ? (labels) => valueOf(labels, key) !== wanted
      : (labels) => valueOf(labels, key) === wanted;
  }
  const set = SET.exec(part);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const values = new Set(list.split(',').map((one) => one.trim()));
    return (labels) => {
      const value = valueOf(labels, key);
      return operator === 'in' ? value !== undefined && values.has(value) : value === undefined || !values.has(value);
    };
  }
  const exists = EXISTS.exec(part);
  if (exists !== null) {
    const [, not, key = ''] = exists;
    return (labels) => (valueOf(labels, key) === undefined) === (not === '!');
  }
  throw new SdkError(`"${whole}" is not a label selector`, {
    code: 'INVALID_OPTION',
    details: { path: 'labelSelector' },
  });
}
