/**
 * What a test API server begins with: every document of YAML and JSON files that is of a kind it serves.
 * Unlike the manifests source it takes objects as they are, wrong ones too: a server may hold what a reader has to survive.
 */
import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { listFiles } from '../../informers/files.ts';
import type { ResourceType } from './resources.ts';
import { apiVersionOf } from './resources.ts';

interface Declared {
  readonly kind?: unknown;
  readonly apiVersion?: unknown;
  readonly items?: unknown;
}

/** Reads the objects of files and folders. Throws for what cannot be read or is of no served kind. */
export async function readManifests(paths: readonly string[], types: readonly ResourceType[]): Promise<unknown[]> {
  const { found, failed } = await listFiles(paths);
  if (failed[0] !== undefined) throw new Error(`cannot read ${failed[0].path}: ${failed[0].reason}`);
  const objects: unknown[] = [];
  const take = (value: unknown, path: string) => {
    if (value === null || value === undefined) return;
    const { kind, apiVersion, items } = value as Declared;
    if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items)) {
      const own = kind.slice(0, -4);
      for (const item of items as object[]) take(own === '' ? item : { kind: own, apiVersion, ...item }, path);
    } else if (types.some((type) => type.kind === kind && apiVersionOf(type) === apiVersion)) objects.push(value);
    else throw new Error(`${path}: ${String(apiVersion)} ${String(kind)} is not served here`);
  };
  for (const path of found.keys()) {
    for (const document of parseAllDocuments(await readFile(path, 'utf8'))) {
      const problem = document.errors[0];
      if (problem !== undefined) throw new Error(`${path}: ${problem.message}`);
      take(document.toJS(), path);
    }
  }
  return objects;
}
