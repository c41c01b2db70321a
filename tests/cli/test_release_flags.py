from cifar_ray.cli.release_flags import ReleaseChoice


def test_a_choice_is_repeated_for_the_next_command() -> None:
    assert ReleaseChoice(name=None, namespace=None, context=None).flags == ""
    chosen = ReleaseChoice(name="sweeps", namespace="team", context=None)
    assert (chosen.flags, chosen.is_given) == (" --release sweeps --namespace team", True)
    strange = ReleaseChoice(name=None, namespace=None, context="user@my cluster; ls")
    assert strange.flags == " --context 'user@my cluster; ls'"
