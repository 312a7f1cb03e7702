// Parses each Mermaid diagram of the Markdown files that are named, as a browser would; exit 1 if one
// does not parse. Of a browser only as much is here as the parsers ask for.
const fs = require("fs");
const vm = require("vm");

const nothing = () => null;
const element = () => ({ style: {}, childNodes: [], setAttribute: nothing, appendChild: nothing });
globalThis.window = globalThis;
globalThis.addEventListener = nothing;
globalThis.document = {
  nodeType: 9,
  addEventListener: nothing,
  body: element(),
  createDocumentFragment: element,
  createElement: element,
  createElementNS: element,
  createNodeIterator: () => ({ nextNode: nothing }),
  currentScript: null,
  documentElement: element(),
  getElementsByTagName: () => [],
  head: element(),
  implementation: { createHTMLDocument: () => globalThis.document },
  importNode: (node) => node,
  querySelector: nothing,
};
const kinds = "DocumentFragment DOMParser Element HTMLElement HTMLFormElement HTMLTemplateElement";
for (const kind of `${kinds} NamedNodeMap Node NodeFilter SVGElement`.split(" ")) {
  globalThis[kind] = class {};
}
const bundle = "node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js";
vm.runInThisContext(fs.readFileSync(bundle, "utf8"), bundle);

(async () => {
  for (const path of process.argv.slice(2)) {
    const text = fs.readFileSync(path, "utf8");
    for (const [, diagram] of text.matchAll(/^```mermaid\n([\s\S]*?)^```/gm)) {
      try {
        const { diagramType } = await globalThis.mermaid.parse(diagram);
        console.log(`${path}: ${diagramType}`);
      } catch (error) {
        console.log(`${path}: ${error.message}\n${diagram}`);
        process.exitCode = 1;
      }
    }
  }
})();
