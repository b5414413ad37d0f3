// Bundles each public subpath into one ESM file; shared code goes into chunks, so that state and classes exist once.
// Declarations come from `tsc -p tsconfig.build.json`.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'tsup';

const subpaths = ['net', 'kernel', 'informers', 'bgp', 'routing', 'ipvs', 'firewall', 'ingress', 'testing'];

export default defineConfig({
  entry: Object.fromEntries([
    ['index', 'src/index.ts'],
    // Runs in a thread of its own, so it is a file of its own.
    ['bgp/bfd-worker', 'src/bgp/bfd/worker.ts'],
    ...subpaths.map((name) => [`${name}/index`, `src/${name}/index.ts`]),
  ]),
  // rxjs is a peer for its types; the few functions of it that we use are carried along (ADR 10)
  noExternal: ['rxjs'],
  esbuildOptions(options) {
    // its modules, not the CommonJS that Node would be given: what is not used is left out
    options.alias = { rxjs: fileURLToPath(new URL('node_modules/rxjs/dist/esm/index.js', import.meta.url)) };
  },
  format: 'esm',
  target: 'node22',
  platform: 'node',
  splitting: true,
  sourcemap: false,
  clean: true,
  dts: false,
});
