/**
 * Label selectors in a canonical form: requirements sorted, values sorted and single, so that selectors that say the same share
 * one key, one matcher and one kernel set. The evaluator has a reading of its own and does not use this file.
 */
import type { LabelSelector, StringMap } from '../../objects/types.ts';
import { delimited } from './hash.ts';

/** One condition on one label. */
export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

/** A selector ready to match. */
export interface Matcher {
  /** Canonical text: equal for selectors that say the same. */
  readonly key: string;
  readonly requirements: readonly Requirement[];
  matches(labels: StringMap): boolean;
}

function holds(requirement: Requirement, labels: StringMap): boolean {
  const value = Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && requirement.values.includes(value);
    case 'NotIn':
      return value === undefined || !requirement.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** Compiles a selector; absent fields select everything, as an empty selector does. */
export function compileSelector(selector: LabelSelector): Matcher {
  const texts = new Map<string, Requirement>();
  const add = (key: string, operator: Requirement['operator'], values: readonly string[]): void => {
    const sorted = [...new Set(values)].sort();
    texts.set(delimited([key, operator, ...sorted]), { key, operator, values: sorted });
  };
  for (const [key, value] of Object.entries(selector.matchLabels)) add(key, 'In', [value]);
  for (const { key, operator, values } of selector.matchExpressions) {
    add(key, operator, operator === 'In' || operator === 'NotIn' ? values : []);
  }
  const keys = [...texts.keys()].sort();
  const requirements = keys.map((text) => texts.get(text)!);
  return {
    key: delimited(keys),
    requirements,
    matches: (labels) => {
      for (const requirement of requirements) if (!holds(requirement, labels)) return false;
      return true;
    },
  };
}
