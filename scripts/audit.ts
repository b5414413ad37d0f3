/**
 * `npm audit` of what users install. Exit 0: clean; 1: something was found; 77: the registry in use answers no audits, which some
 * mirrors do not, so that nothing is known either way.
 */
import { spawnSync } from 'node:child_process';

const { stdout, stderr, status } = spawnSync('npm', ['audit', '--omit=dev', '--audit-level=low'], { encoding: 'utf8' });
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exit(status !== 0 && stderr.includes('audit endpoint returned an error') ? 77 : (status ?? 1));
