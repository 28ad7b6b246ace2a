//! The graph of consumers and its checks.

use crate::error::TopologyError;
use std::collections::HashMap;

/// Named consumers and what each depends on.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    nodes: Vec<(String, Vec<String>)>,
    outside: Vec<String>,
}

impl Topology {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names a consumer that is there already and that this graph's may depend on.
    pub fn outside(&mut self, name: &str) {
        self.outside.push(name.to_owned());
    }

    /// Adds a consumer.
    ///
    /// # Errors
    /// The name is in use.
    pub fn add(&mut self, name: &str, depends_on: &[String]) -> Result<(), TopologyError> {
        if self.nodes.iter().any(|(other, _)| other == name) || self.outside.iter().any(|other| other == name) {
            return Err(TopologyError::Duplicate { name: name.to_owned() });
        }
        self.nodes.push((name.to_owned(), depends_on.to_vec()));
        Ok(())
    }

    /// The consumers in an order in which each comes after all it depends on; otherwise as they were added.
    ///
    /// # Errors
    /// A dependency nobody has the name of, or a cycle.
    pub fn order(&self) -> Result<Vec<usize>, TopologyError> {
        let by_name: HashMap<&str, usize> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (name.as_str(), index))
            .collect();
        let mut visit = Visit {
            topology: self,
            by_name,
            marks: vec![Mark::New; self.nodes.len()],
            order: Vec::new(),
        };
        for index in 0..self.nodes.len() {
            visit.node(index, &mut Vec::new())?;
        }
        Ok(visit.order)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

struct Visit<'a> {
    topology: &'a Topology,
    by_name: HashMap<&'a str, usize>,
    marks: Vec<Mark>,
    order: Vec<usize>,
}

impl Visit<'_> {
    fn node(&mut self, index: usize, path: &mut Vec<usize>) -> Result<(), TopologyError> {
        match self.marks[index] {
            Mark::Done => return Ok(()),
            Mark::Open => return Err(self.cycle(index, path)),
            Mark::New => {}
        }
        self.marks[index] = Mark::Open;
        path.push(index);
        let (name, depends_on) = &self.topology.nodes[index];
        for dependency in depends_on {
            match self.by_name.get(dependency.as_str()) {
                Some(&other) => self.node(other, path)?,
                None if self.topology.outside.contains(dependency) => {}
                None => {
                    return Err(TopologyError::Unknown {
                        name: name.clone(),
                        dependency: dependency.clone(),
                    });
                }
            }
        }
        path.pop();
        self.marks[index] = Mark::Done;
        self.order.push(index);
        Ok(())
    }

    fn cycle(&self, index: usize, path: &[usize]) -> TopologyError {
        let begin = path.iter().position(|&node| node == index).unwrap_or(0);
        let names = path[begin..]
            .iter()
            .chain([&index])
            .map(|&node| self.topology.nodes[node].0.clone());
        TopologyError::Cycle { path: names.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: &[(&str, &[&str])]) -> Topology {
        let mut topology = Topology::new();
        for (name, depends_on) in nodes {
            let depends_on: Vec<String> = depends_on.iter().map(ToString::to_string).collect();
            topology.add(name, &depends_on).unwrap();
        }
        topology
    }

    #[test]
    fn each_comes_after_what_it_depends_on() {
        assert_eq!(
            graph(&[("c", &["a", "b"]), ("a", &[]), ("b", &["a"])]).order(),
            Ok(vec![1, 2, 0])
        );
    }

    #[test]
    fn a_cycle_is_named_from_its_beginning_to_its_end() {
        let error = graph(&[("a", &["c"]), ("b", &["a"]), ("c", &["b"])])
            .order()
            .unwrap_err();
        assert_eq!(
            error,
            TopologyError::Cycle {
                path: ["a", "c", "b", "a"].map(String::from).to_vec()
            }
        );
    }

    #[test]
    fn an_unknown_dependency_names_both_sides() {
        let error = graph(&[("a", &["x"])]).order().unwrap_err();
        assert_eq!(
            error,
            TopologyError::Unknown {
                name: "a".into(),
                dependency: "x".into()
            }
        );
    }

    #[test]
    fn a_name_used_twice_is_refused() {
        let mut topology = graph(&[("a", &[])]);
        assert_eq!(
            topology.add("a", &[]),
            Err(TopologyError::Duplicate { name: "a".into() })
        );
    }
}
