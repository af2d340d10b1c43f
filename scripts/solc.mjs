#!/usr/bin/env node
// The Solidity compiler of npm's `solc` package behind the two command lines that tools use of a native one:
//
//   solc.mjs --version
//   solc.mjs --standard-json [--base-path DIR] [--include-path DIR] [--allow-paths DIRS]   < input.json > output.json
//
// Left out: everything else a native compiler does. `scripts/setup_solc.sh` makes it an executable `solc-v<version>`, the
// name under which ape and forge look for it.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

// A constant, because tools ask for the version often and loading the compiler takes a second.
const VERSION = "0.8.37+commit.f401782d.Emscripten.clang";

const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), "..");

// Options whose value is the next argument.
const WITH_VALUE = new Set(["--base-path", "--include-path", "--allow-paths"]);

function fail(message) {
  process.stderr.write(`solc.mjs: ${message}\n`);
  process.exit(2);
}

function parse(argv) {
  const options = { version: false, standardJson: false, basePath: process.cwd(), includePaths: [] };
  for (let i = 0; i < argv.length; i++) {
    const equals = argv[i].indexOf("=");
    const name = argv[i].startsWith("--") && equals > 0 ? argv[i].slice(0, equals) : argv[i];
    if (name === "--version") options.version = true;
    else if (name === "--standard-json") options.standardJson = true;
    else if (WITH_VALUE.has(name)) {
      const value = equals > 0 ? argv[i].slice(equals + 1) : argv[++i];
      if (value === undefined) fail(`${name} needs a value`);
      if (name === "--base-path") options.basePath = resolve(value || ".");
      if (name === "--include-path") options.includePaths.push(resolve(value));
    } else if (name !== "-") fail(`${name} is not supported; use --version or --standard-json`);
  }
  return options;
}

// Sources that the input names but does not contain: first as the tool said, then the packages that npm installed.
function importer(options) {
  const roots = [options.basePath, ...options.includePaths, join(REPOSITORY, "node_modules")];
  return (path) => {
    for (const root of roots) {
      try {
        return { contents: readFileSync(resolve(root, path), "utf8") };
      } catch (error) {
        if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
      }
    }
    return { error: `${path} is in none of ${roots.join(", ")}` };
  };
}

const options = parse(process.argv.slice(2));
if (options.version) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${VERSION}\n`);
} else if (options.standardJson) {
  const solc = createRequire(join(REPOSITORY, "package.json"))("solc");
  if (solc.version() !== VERSION) {
    fail(`npm installed solc ${solc.version()}, expected ${VERSION}: run npm ci, or change VERSION in scripts/solc.mjs`);
  }
  process.stdout.write(solc.compile(readFileSync(0, "utf8"), { import: importer(options) }));
} else {
  fail("nothing to do; use --version or --standard-json");
}
