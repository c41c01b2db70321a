// Charts: one look, tooltips of text nodes, a sentence for those who do not see them.

const charts = new Map(); // by element
const watcher = new ResizeObserver((entries) => entries.forEach(({ target }) => charts.get(target)?.resize()));

/** A place for a chart. `draw(option, summary)` may be called again and again. */
function chartPlace(id, height, onReady) {
  const canvas = el("div", { id, class: "chart", role: "img", style: { height: `${height}px` } });
  return {
    node: canvas,
    draw(option, summary) {
      canvas.setAttribute("aria-label", summary);
      let instance = charts.get(canvas);
      if (!instance) {
        instance = echarts.init(canvas, null, { renderer: "canvas" });
        charts.set(canvas, instance);
        watcher.observe(canvas);
        onReady?.(instance);
      }
      const grid = { ...baseOption().grid, ...option.grid };
      // names and labels of axes count as part of the picture
      grid.outerBounds = { left: grid.left, right: grid.right, top: grid.top, bottom: grid.bottom };
      instance.setOption({ ...baseOption(), ...option, grid }, { replaceMerge: ["series", "xAxis", "yAxis"] });
    },
  };
}

function clearCharts() {
  for (const [node, instance] of charts) {
    watcher.unobserve(node);
    instance.dispose();
  }
  charts.clear();
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

const zoom = () => [{ type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl" }];
const zoomTools = () => ({
  right: 4, top: -6, itemSize: 13, iconStyle: { borderColor: ink("muted") },
  feature: { dataZoom: { filterMode: "none", title: { zoom: "zoom into an area", back: "zoom out" } }, restore: { title: "whole picture" } },
});
const figure = (place, caption) => el("figure", {}, place.node, caption ? el("figcaption", {}, caption) : null);
