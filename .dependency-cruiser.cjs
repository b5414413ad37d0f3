// The layers, enforced: each imports only those below it in this file's list.
//   net, objects  <-  pure halves of the blocks  <-  effectful halves  <-  examples
const blocks = ['bgp', 'routing', 'ipvs', 'firewall', 'ingress', 'informers'];
const pureFiles = '(model|compile|plan|render|parse|evaluate)(/|\\.ts$)|/(message|rib|policy|maglev)/';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: { path: '^src' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'net-imports-nothing',
      severity: 'error',
      from: { path: '^src/net/', pathNot: '\\.test\\.ts$' },
      to: { pathNot: ['^src/net/', 'node_modules/netmask'] },
    },
    {
      name: 'objects-import-net-only',
      severity: 'error',
      from: { path: '^src/objects/', pathNot: '\\.test\\.ts$' },
      to: { pathNot: ['^src/(objects|net)/'] },
    },
    {
      name: 'pure-halves-do-no-io',
      severity: 'error',
      from: { path: `^src/(${blocks.join('|')})/.*(${pureFiles})`, pathNot: '\\.test\\.ts$' },
      to: {
        path: ['^node:', 'node_modules/(rxjs|execa|@kubernetes)', '^src/kernel/'],
        dependencyTypesNot: ['type-only'],
      },
    },
    ...blocks.map((block) => ({
      name: `${block}-stands-alone`,
      severity: 'error',
      from: { path: `^src/${block}/`, pathNot: '\\.test\\.ts$' },
      to: { path: `^src/(${blocks.filter((other) => other !== block).join('|')}|testing)/` },
    })),
    {
      name: 'kernel-knows-no-block',
      severity: 'error',
      from: { path: '^src/kernel/', pathNot: '\\.test\\.ts$' },
      to: { path: `^src/(${blocks.join('|')}|testing|objects)/` },
    },
    {
      name: 'execa-behind-the-runner',
      severity: 'error',
      from: { path: '^(src|examples)', pathNot: '^src/kernel/(runner|direct)\\.ts$' },
      to: { path: 'node_modules/execa' },
    },
    {
      name: 'examples-use-public-subpaths',
      severity: 'error',
      from: { path: '^examples/', pathNot: '\\.test\\.ts$' },
      to: { path: '^src/[^/]+/(?!index\\.ts$)' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node'] },
  },
};
