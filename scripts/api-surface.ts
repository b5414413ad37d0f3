/**
 * Writes test/package/api-surface.txt: every name that each subpath exports, and whether it is a value or a type. A change of it is a
 * change of what users may rely on, so it is read in review (docs/guide/versions.md says what may change when).
 * `--check` fails when the file is not what the sources say.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = join(root, 'test/package/api-surface.txt');
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, unknown>;
};

/** Names that a module exports; true: a type. */
function namesOf(file: string): Map<string, boolean> {
  const names = new Map<string, boolean>();
  const text = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');
  for (const [, type, list = ''] of text.matchAll(/^export (type )?\{([^}]*)\}/gm)) {
    for (const part of list.split(',').map((one) => one.trim())) {
      const [, own, name = ''] = /^(type )?(?:\w+ as )?(\w+)$/.exec(part) ?? [];
      if (name !== '') names.set(name, type !== undefined || own !== undefined);
    }
  }
  for (const [, type, name, from = ''] of text.matchAll(/^export (type )?\* (?:as (\w+) )?from '(.*)'/gm)) {
    if (name !== undefined) names.set(name, false);
    else for (const [one, isType] of namesOf(join(dirname(file), from))) names.set(one, isType || type !== undefined);
  }
  for (const [, kind = '', name = ''] of text.matchAll(
    /^export (?:declare )?(?:async )?(interface|type|const|function\*?|class) (\w+)/gm,
  ))
    names.set(name, kind === 'interface' || kind === 'type');
  return names;
}

const subpaths = Object.keys(exports).filter((path) => /^\.(\/\w+)?$/.test(path));
const text = subpaths
  .map((path) => {
    const names = [...namesOf(join(root, 'src', path, 'index.ts'))].sort(([a], [b]) => (a < b ? -1 : 1));
    return [
      `kube-router-sdk${path.slice(1)}`,
      ...names.map(([name, isType]) => `  ${isType ? 'type ' : ''}${name}`),
      '',
    ].join('\n');
  })
  .join('\n');

if (process.argv.includes('--check')) {
  if (!existsSync(target) || readFileSync(target, 'utf8') !== text) {
    console.error(
      'The public API differs from test/package/api-surface.txt: run `npm run api-surface`, and commit it with a changeset',
    );
    process.exit(1);
  }
} else writeFileSync(target, text);
