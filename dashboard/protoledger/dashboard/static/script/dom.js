// Builds and updates the page. Text only ever becomes a text node: nothing here parses HTML.

import { visible } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** Attributes that a person sees or hears. */
const SAID = new Set(["title", "aria-label"]);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") {
      for (const [property, given] of Object.entries(value)) element.style.setProperty(property, given);
    } else if (name.startsWith("on")) {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : SAID.has(name) ? visible(value) : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
  return element;
}

/** Makes an element; children are nodes, text, or lists of them. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Makes an element of a drawing. */
export function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

const HANDLERS = ["onclick", "onkeydown"];

// Makes `old` like `fresh`, and keeps elements, so that focus, scrolling and selections stay. What
// is inside an element with data-slot belongs to who draws there, and what a person opened stays open.
function morph(old, fresh) {
  for (const { name } of [...old.attributes]) {
    const kept = name === "style" || name === "open";
    if (!kept && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style && !old.dataset.slot && old.style.cssText !== fresh.style.cssText) {
    old.style.cssText = fresh.style.cssText;
  }
  for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
  if (!old.dataset.slot) morphChildren(old, fresh);
}

function alike(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return false;
  if (old.nodeType !== Node.ELEMENT_NODE) return true;
  return old.dataset.slot === fresh.dataset.slot && old.dataset.key === fresh.dataset.key;
}

function morphChildren(old, fresh) {
  const wanted = [...fresh.childNodes];
  const keyed = new Map();
  for (const node of old.childNodes) {
    if (node.dataset && node.dataset.key) keyed.set(node.dataset.key, node);
  }
  let at = old.firstChild;
  for (const node of wanted) {
    const key = node.dataset && node.dataset.key;
    const match = key ? keyed.get(key) : at && !(at.dataset && at.dataset.key) ? at : null;
    if (match && alike(match, node)) {
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      if (match.nodeType === Node.ELEMENT_NODE) morph(match, node);
      else if (match.data !== node.data) match.data = node.data;
    } else {
      old.insertBefore(node, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Lets an element show these children; what is there already is changed and not replaced. */
export function show(element, ...children) {
  morphChildren(element, fill(document.createElement("div"), null, children));
}

/** Returns the slot of that name, where a chart draws. */
export const slot = (name) => document.querySelector(`[data-slot="${CSS.escape(name)}"]`);
