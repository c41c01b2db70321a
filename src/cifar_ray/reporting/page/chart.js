// Charts: a common style, tooltips of text nodes, a description for screen readers.

const charts = new Map(); // by element
const waiting = new Map(); // by element: how to draw it once it comes near the screen
const near = new Set();
const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => fit(target)));
const sight = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
  if (isIntersecting) near.add(target);
  else near.delete(target);
  if (isIntersecting) drawWaiting(target);
}), { rootMargin: "500px" });

function drawWaiting(node) {
  const draw = waiting.get(node);
  waiting.delete(node);
  node.removeAttribute("data-waiting");
  draw?.();
}

function fit(node) {
  const instance = charts.get(node);
  if (instance && (instance.getWidth() !== node.clientWidth || instance.getHeight() !== node.clientHeight)) instance.resize();
}

/** The whole picture on one canvas: in print an upper one hides those below it, and what ECharts puts off comes too late. */
function flatten(node) {
  const instance = charts.get(node);
  const lowest = node.querySelector("canvas");
  const context = lowest.getContext("2d");
  context.save();
  context.resetTransform();
  context.clearRect(0, 0, lowest.width, lowest.height);
  // finer than the screen, ECharts draws all anew and at once
  context.drawImage(instance.renderToCanvas({ pixelRatio: 2 * instance.getDevicePixelRatio() }), 0, 0, lowest.width, lowest.height);
  context.restore();
}

/** A place for a chart. `draw(option, summary)` may be called again and again; far from the screen it costs nothing. */
function chartPlace(id, height, onReady) {
  const node = el("div", { id, class: "chart", role: "img", style: { height: `${height}px` } });
  sight.observe(node);
  function drawNow(option) {
    let instance = charts.get(node);
    if (!instance) {
      instance = echarts.init(node, null, { renderer: "canvas" });
      charts.set(node, instance);
      sizes.observe(node);
      onReady?.(instance);
    }
    const grid = { ...baseOption().grid, ...option.grid };
    // names and labels of axes count as part of the picture
    grid.outerBounds = { left: grid.left, right: grid.right, top: grid.top, bottom: grid.bottom };
    instance.setOption({ ...baseOption(), ...option, grid }, { replaceMerge: ["series", "xAxis", "yAxis"] });
  }
  return {
    node,
    draw(option, summary) {
      node.setAttribute("aria-label", summary);
      node.setAttribute("data-waiting", "");
      waiting.set(node, () => drawNow(option));
      if (near.has(node)) drawWaiting(node);
    },
  };
}

function clearCharts() {
  for (const instance of charts.values()) {
    instance.clear(); // else ECharts would still paint what it has put off
    instance.dispose();
  }
  sizes.disconnect();
  sight.disconnect();
  for (const each of [charts, waiting, near]) each.clear();
}

function baseOption() {
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { fontFamily: "system-ui, sans-serif", color: ink("muted") },
    grid: { left: 8, right: 14, top: 26, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
  };
}

/** An axis in the page's colours. */
function axis(name, more = {}) {
  const line = { lineStyle: { color: ink("line") } };
  return {
    type: "value", name, nameLocation: "middle", scale: true, ...more,
    nameTextStyle: { color: ink("muted"), fontSize: 12 },
    nameGap: more.nameGap ?? 30, axisLine: line, axisTick: { show: false }, splitLine: { ...line, show: more.type !== "category" },
    axisLabel: { color: ink("muted"), fontSize: 11, hideOverlap: true, ...more.axisLabel },
  };
}

/** A tooltip whose `content(params)` gives a title and [label, value] pairs: text, whatever a name holds. */
function tooltip(content) {
  return {
    trigger: "item", confine: true, backgroundColor: ink("raised"), borderColor: ink("line"), padding: [8, 10],
    textStyle: { color: ink("ink"), fontSize: 12 },
    formatter: (params) => {
      const shown = content(params);
      if (!shown) return "";
      const [title, pairs] = shown;
      return el("div", { class: "tip" }, el("b", {}, title), facts(pairs));
    },
  };
}

const topLegend = () => ({ top: 0, textStyle: { color: ink("ink") } });

/** A value axis on which each of `number` steps has a place, for points that `jitter` spreads around it. */
const stepAxis = (number, label) => ({ min: -0.5, max: number - 0.5, interval: 0.5, axisLabel: { formatter: (value) => (Number.isInteger(value) ? label(value) : "") } });
const jitter = (index) => (((index * 0.618034) % 1) - 0.5) * 0.5;

const zoom = () => [{ type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl" }];
const zoomTools = () => ({
  right: 4, top: -6, itemSize: 13, iconStyle: { borderColor: ink("muted") },
  feature: { dataZoom: { filterMode: "none", title: { zoom: "zoom into an area", back: "zoom out" } }, restore: { title: "whole picture" } },
});
const figure = (place, caption) => el("figure", {}, place.node, caption ? el("figcaption", {}, caption) : null);
